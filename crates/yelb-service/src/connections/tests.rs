//! Who is let in, and who has to go.

use std::future::poll_fn;
use std::pin::pin;

use tokio::time::timeout;

use super::*;

fn table(connections: usize, per_client: Option<usize>) -> Connections {
    Connections::new(Limits { connections, per_client })
}

fn from(last: u8) -> SocketAddr {
    ([192, 0, 2, last], 1).into()
}

#[track_caller]
fn served(admission: Admission) -> Entry {
    match admission {
        Admission::Served(entry) => entry,
        other => panic!("{other:?}"),
    }
}

fn is_closed(entry: &Entry) -> bool {
    entry.activity.close.is_cancelled()
}

#[test]
fn the_one_that_has_waited_longest_makes_room() {
    let table = table(3, None);
    let entries = [30, 10, 20].map(|since| {
        let entry = served(table.admit(from(1)));
        entry.activity.waits_since.store(since, Relaxed);
        entry
    });
    let next = served(table.admit(from(2)));
    assert_eq!(entries.each_ref().map(is_closed), [false, true, false]);
    next.begin_request(false);
    let _one_more = served(table.admit(from(2)));
    assert_eq!(entries.each_ref().map(is_closed), [false, true, true]);
}

#[tokio::test(start_paused = true)]
async fn a_busy_connection_is_looked_at_less_and_less_often() {
    let entry = served(table(1, None).admit(from(1)));
    entry.begin_request(false);
    let mut looks = 0;
    let mut rested = pin!(entry.rested(Duration::from_millis(100)));
    let mut rested = poll_fn(|cx| {
        looks += 1;
        rested.as_mut().poll(cx)
    });
    assert!(timeout(Duration::from_mins(1), &mut rested).await.is_err(), "it is busy");
    let answered = Instant::now();
    entry.end_request();
    entry.await_client();
    rested.await;
    assert!(answered.elapsed() <= Duration::from_millis(10_100), "{:?}", answered.elapsed());
    assert!(looks < 20, "{looks}");
}

#[test]
fn where_all_are_busy_a_reserve_is_told_so_and_what_is_beyond_it_is_closed() {
    let table = table(2, None);
    let entries = [1, 2].map(|client| served(table.admit(from(client))));
    for entry in &entries {
        entry.begin_request(false);
    }
    let turned_away = || {
        let Admission::TurnedAway(entry) = table.admit(from(3)) else { return None };
        entry.begin_request(false);
        Some(entry)
    };
    let mut told: Vec<_> = (0..RESERVE).map(|_| turned_away()).collect();
    assert!(told.iter().all(Option::is_some));
    assert!(matches!(table.admit(from(4)), Admission::Refused));
    told.pop();
    assert!(turned_away().is_some());
    assert!(!entries.iter().any(is_closed));
}

#[test]
fn connections_that_wait_in_the_reserve_do_not_add_up_to_more_than_there_may_be() {
    let table = table(1, None);
    let busy = served(table.admit(from(1)));
    busy.begin_request(false);
    let mut reserve = Vec::new();
    for _ in 0..10 {
        let Admission::TurnedAway(entry) = table.admit(from(2)) else { panic!("it is full") };
        reserve.push(entry);
    }
    assert_eq!(reserve.iter().filter(|entry| !is_closed(entry)).count(), 1);
    drop((busy, reserve));
    let _again = served(table.admit(from(2)));
}

#[test]
fn one_client_has_so_many_and_loopback_as_many_as_it_likes() {
    let table = table(100, Some(2));
    let two = [served(table.admit(from(1))), served(table.admit(from(1)))];
    assert!(matches!(table.admit(from(1)), Admission::TurnedAway(_)));
    let _another = served(table.admit(from(2)));
    let _same = [0; 3].map(|_| served(table.admit(([127, 0, 0, 1], 1).into())));
    drop(two);
    let _again = served(table.admit(from(1)));
}

#[test]
fn a_small_head_always_has_room() {
    let table = table(1, None);
    let entry = served(table.admit(from(1)));
    assert!(entry.take_room(HEADS_ROOM, HEADS_ROOM));
    assert!(!entry.take_room(1, SMALL_HEAD + 1));
    assert!(entry.take_room(1, SMALL_HEAD));
    entry.leave_room(HEADS_ROOM + 2);
    assert!(entry.take_room(1, SMALL_HEAD + 1));
}
