use super::*;

const A_DAY: Duration = Duration::from_hours(24);

async fn open(url: &str) -> Sqlite {
    Sqlite::open(url, Poll::default(), A_DAY).await.unwrap()
}

/// Votes in one batch, and answers with the count that each vote has made.
async fn vote(file: &Sqlite, votes: &[(&str, Option<&str>)]) -> Vec<i64> {
    let vote = |(id, key): &(&str, Option<&str>)| Vote {
        choice: Poll::default().find(id).unwrap(),
        key: key.map(|key| key.parse().unwrap()),
    };
    let votes: Vec<Vote> = votes.iter().map(vote).collect();
    let outputs = Writer(file.clone()).run(&votes).await.unwrap();
    outputs.into_iter().map(|output| output.unwrap().unwrap()).collect()
}

async fn view(file: &Sqlite) -> i64 {
    let counted = Adder(file.clone()).run(&[View::Counted]).await.unwrap().remove(0).unwrap();
    let read = Adder(file.clone()).run(&[View::Read]).await.unwrap().remove(0).unwrap();
    assert_eq!(read, counted);
    read
}

#[tokio::test]
async fn counts_survive_closing_and_opening() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("new/yelb.db").display());

    let file = open(&url).await;
    assert_eq!(vote(&file, &[("ihop", None)]).await, [1]);
    assert_eq!(view(&file).await, 1);
    file.close().await;

    let file = open(&url).await;
    let votes = [("outback", None), ("ihop", None), ("ihop", None)];
    assert_eq!(vote(&file, &votes).await, [1, 2, 3]);
    assert_eq!(view(&file).await, 2);
}

#[tokio::test]
async fn a_read_has_every_vote_in_the_order_of_the_poll() {
    let file = open("sqlite::memory:").await;
    vote(&file, &[("chipotle", None)]).await;
    let tally = Reader(file).run(&[()]).await.unwrap().remove(0).unwrap();
    assert_eq!(tally.counts(), [0, 0, 0, 1]);
}

#[tokio::test]
async fn a_missing_row_is_made_by_its_first_vote() {
    let file = open("sqlite::memory:").await;
    let delete = sqlx::query("delete from restaurants");
    delete.execute(&mut *file.lock().await).await.unwrap();
    assert_eq!(vote(&file, &[("ihop", None)]).await, [1]);
}

#[tokio::test]
async fn a_key_is_counted_once_and_answered_again() {
    let file = open("sqlite::memory:").await;
    let votes = [("ihop", None), ("ihop", Some("a")), ("ihop", Some("b"))];
    assert_eq!(vote(&file, &votes).await, [1, 2, 3]);
    let votes = [("ihop", Some("a")), ("ihop", Some("c")), ("ihop", None)];
    assert_eq!(vote(&file, &votes).await, [2, 5, 4]);
}

#[tokio::test]
async fn a_key_is_forgotten_after_a_day() {
    let file = open("sqlite::memory:").await;
    vote(&file, &[("ihop", Some("old")), ("ihop", Some("new"))]).await;
    let age = "update vote_keys set counted_at = counted_at - 86401 where key = 'old'";
    sqlx::query(age).execute(&mut *file.lock().await).await.unwrap();

    file.sweep().await.unwrap();
    assert_eq!(vote(&file, &[("ihop", Some("old")), ("ihop", Some("new"))]).await, [3, 2]);
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_says_why() {
    let error = Sqlite::open("sqlite:/dev/null/yelb.db", Poll::default(), A_DAY).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot make the folder of the database");
}
