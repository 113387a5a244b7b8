use super::*;

const A_DAY: Duration = Duration::from_hours(24);

async fn open(url: &str) -> Sqlite {
    Sqlite::open(url, Poll::default(), A_DAY).await.unwrap()
}

fn votes(votes: &[(&str, Option<&str>)]) -> Vec<Vote> {
    let vote = |(id, key): &(&str, Option<&str>)| Vote {
        choice: Poll::default().find(id).unwrap(),
        key: key.map(|key| key.parse().unwrap()),
    };
    votes.iter().map(vote).collect()
}

/// Votes in one batch, and answers with the count that each vote has made.
async fn vote(file: &Sqlite, batch: &[(&str, Option<&str>)]) -> Vec<i64> {
    let outputs = Writer(file.clone()).run(&votes(batch)).await.unwrap();
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

/// What makes the votes of `ihop` fail.
const REFUSALS: [(&str, &str); 5] = [
    ("a trigger that fails the statement", "select raise(fail, 'the poll is closed')"),
    ("a trigger that undoes the statement", "select raise(abort, 'the poll is closed')"),
    ("a trigger that undoes the transaction", "select raise(rollback, 'the poll is closed')"),
    ("a trigger that ignores the update", "select raise(ignore)"),
    ("a range", "update restaurants set count = 9223372036854775807 where name = 'ihop'"),
];

#[tokio::test]
async fn a_row_that_cannot_be_counted_takes_no_vote_for_another_with_it() {
    for (case, refusal) in REFUSALS {
        let file = open("sqlite::memory:").await;
        let trigger = format!(
            "create trigger refuse before update on restaurants when new.name = 'ihop' begin {refusal}; end"
        );
        let refusal = if case.starts_with("a trigger") { trigger } else { refusal.to_owned() };
        let refusal = sqlx::raw_sql(sqlx::AssertSqlSafe(refusal));
        refusal.execute(&mut *file.lock().await).await.unwrap();

        let votes = votes(&[
            ("ihop", None),
            ("outback", None),
            ("ihop", Some("a")),
            ("chipotle", Some("b")),
            ("outback", None),
        ]);
        let outputs = Writer(file.clone()).run(&votes).await.unwrap();
        let is_refused = |place: usize| matches!(outputs[place], Err(StoreError::Refused { .. }));
        assert!(is_refused(0) && is_refused(2), "{case}: {outputs:?}");
        let counted = [1, 3, 4].map(|place: usize| outputs[place].as_ref().ok().copied());
        assert_eq!(counted, [Some(Ok(1)), Some(Ok(1)), Some(Ok(2))], "{case}: {outputs:?}");

        // Nothing of it is counted later, and the key that was refused is free.
        let mend = sqlx::raw_sql(
            "drop trigger if exists refuse; update restaurants set count = 0 where name = 'ihop'",
        );
        mend.execute(&mut *file.lock().await).await.unwrap();
        assert_eq!(vote(&file, &[("ihop", Some("a")), ("outback", None)]).await, [1, 3], "{case}");
        assert_eq!(vote(&file, &[("chipotle", Some("b"))]).await, [1], "{case}");
    }
}

#[tokio::test]
async fn a_batch_for_one_restaurant_is_refused_as_a_whole() {
    let file = open("sqlite::memory:").await;
    let full = sqlx::raw_sql("update restaurants set count = 9223372036854775807");
    full.execute(&mut *file.lock().await).await.unwrap();
    let outputs = Writer(file).run(&votes(&[("ihop", None), ("ihop", None)])).await;
    assert!(matches!(outputs, Err(StoreError::Refused { .. })), "{outputs:?}");
}

#[tokio::test]
async fn when_a_full_disk_has_room_again_votes_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let file = open(&format!("sqlite:{}", folder.path().join("yelb.db").display())).await;
    let limit = async |pages: &str| {
        let limit = sqlx::raw_sql(sqlx::AssertSqlSafe(format!("pragma max_page_count = {pages}")));
        limit.execute(&mut *file.lock().await).await.unwrap();
    };
    limit("1").await;
    let long = "k".repeat(250);
    let mut counted = 0;
    let refused = loop {
        let batch = votes(&[
            ("ihop", Some(&format!("{long}{counted:05}"))),
            ("outback", Some(&format!("{counted:05}{long}"))),
        ]);
        match Writer(file.clone()).run(&batch).await {
            Ok(outputs) if outputs.iter().all(Result::is_ok) => counted += 1,
            refused => break refused,
        }
    };
    assert!(counted < 1000, "the limit holds");
    let refused = refused.unwrap_err();
    assert!(refused.chain().contains("full"), "{refused:?}");
    limit("1000000").await;
    assert_eq!(vote(&file, &[("ihop", None)]).await, [counted + 1]);
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_says_why() {
    let error = Sqlite::open("sqlite:/dev/null/yelb.db", Poll::default(), A_DAY).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot make the folder of the database");
}
