//! Addresses and connections, with real listeners and a clock of the test's own.

use std::net::Ipv4Addr;

use tokio::net::TcpListener;
use tokio::time::advance;

use super::*;
use crate::config::appserver;
use crate::upstream::Origin;
use crate::upstream::connection::open;

const SECOND: Duration = Duration::from_secs(1);

/// An app server that accepts, and is not asked for more.
async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn connect(address: SocketAddr) -> Connection {
    let origin = Origin::new(appserver("yelb-appserver").unwrap()).unwrap();
    open(&origin, address, 30 * SECOND).await.unwrap()
}

fn addresses(last: [u8; 3]) -> [SocketAddr; 3] {
    last.map(|last| ([192, 0, 2, last], 4567).into())
}

/// The address that is to be connected to.
#[track_caller]
fn next(pool: &Pool) -> SocketAddr {
    match pool.take() {
        Taken::Address { address, .. } => address,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn addresses_take_turns_and_one_that_failed_is_passed_over_for_a_while() {
    let pool = Pool::default();
    assert!(matches!(pool.take(), Taken::Nothing));
    let [one, two, three] = addresses([1, 2, 3]);
    pool.set(&[one, two, three]);
    assert_eq!([(); 4].map(|()| next(&pool)), [one, two, three, one]);
    pool.skip(two);
    assert!((0..9).all(|_| next(&pool) != two));
    advance(SKIPPED_FOR).await;
    assert!((0..3).any(|_| next(&pool) == two));
}

#[tokio::test(start_paused = true)]
async fn where_all_addresses_failed_the_one_that_did_first_is_tried() {
    let pool = Pool::default();
    let [one, two, three] = addresses([1, 2, 3]);
    pool.set(&[one, two, three]);
    for address in [two, one, three] {
        pool.skip(address);
        advance(SECOND).await;
    }
    assert_eq!([(); 2].map(|()| next(&pool)), [two, two]);
}

#[tokio::test]
async fn a_free_connection_is_used_again_until_its_address_has_left_the_name() {
    let ((_one, first), (_two, second)) = (listen().await, listen().await);
    let pool = Pool::default();
    pool.set(&[first]);
    pool.put(connect(first).await);
    let Taken::Free(connection) = pool.take() else { panic!("it was put there") };
    assert!(!connection.is_new());
    pool.put(connection);
    pool.set(&[second]);
    assert_eq!(next(&pool), second);
    // One that was under way meanwhile.
    pool.put(connect(first).await);
    assert_eq!(next(&pool), second);
}

#[tokio::test]
async fn a_connection_grows_old_and_addresses_that_are_not_used_are_forgotten() {
    let (_listener, address) = listen().await;
    let pool = Pool::default();
    pool.set(&[address]);
    pool.put(connect(address).await);
    tokio::time::pause();
    assert!(pool.sweep());
    advance(5 * SECOND).await;
    assert!(matches!(pool.take(), Taken::Free(_)), "it is young");
    pool.put({
        tokio::time::resume();
        connect(address).await
    });
    tokio::time::pause();
    advance(10 * SECOND).await;
    assert_eq!(next(&pool), address, "it is old");
    assert!(pool.sweep(), "it was asked for just now");
    assert!(!pool.sweep());
    assert!(pool.is_empty());
}
