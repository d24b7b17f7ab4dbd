use std::cell::Cell;

use zeitwork_runtime::step;

use super::*;

fn keys() -> Keys {
    Keys::new("tests", step!("tests.key"))
}

fn never() -> std::future::Ready<Result<Done, Error>> {
    std::future::ready(Err(Error::Database(zeitwork_database::Error::Stale("row"))))
}

/// Passes for a minute, as often as the reports ask for; how often the key was worked on, with
/// the last report.
async fn a_minute(keys: &mut Keys) -> (u32, PassReport) {
    let (began, tries) = (Instant::now(), Cell::new(0));
    loop {
        let mut report = PassReport::default();
        let work = async {
            tries.set(tries.get() + 1);
            never().await
        };
        keys.work(&mut report, vec![("a".to_owned(), work)]).await;
        if began.elapsed() > Duration::from_mins(1) {
            return (tries.get(), report);
        }
        tokio::time::sleep(report.again_after.unwrap()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_succeeds_is_tried_less_and_less_and_shown() {
    let (tries, report) = a_minute(&mut keys()).await;
    assert!((12..20).contains(&tries), "{tries}");
    assert_eq!(report.failed, 1);
    assert!(
        report.reasons[0].starts_with("a: database: row has changed meanwhile ("),
        "{report:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_rests_is_in_nobodys_way_and_is_due_again_after_a_success() {
    let mut keys = keys();
    a_minute(&mut keys).await;
    let mut report = PassReport::default();
    let ready = || Box::pin(async { Ok(Done::steps(1)) });
    let works = || vec![("a".to_owned(), ready()), ("b".to_owned(), ready())];
    keys.work(&mut report, works()).await;
    assert_eq!((report.seen, report.changed, report.failed), (2, 1, 1));
    tokio::time::sleep(report.again_after.unwrap()).await;
    let mut report = PassReport::default();
    keys.work(&mut report, works()).await;
    assert_eq!((report.changed, report.failed), (2, 0));
    keys.work(&mut report, vec![("a".to_owned(), never())]).await;
    assert!(report.again_after.unwrap() <= FIRST);
    assert!(report.reasons.is_empty(), "a lost race is no reason: {:?}", report.reasons);
}

#[tokio::test(start_paused = true)]
async fn keys_that_hang_do_not_keep_the_others_from_their_turn() {
    let mut keys = keys();
    let hang = |n: usize| (format!("hang-{n}"), true);
    let tried = Cell::new(0);
    // More than are worked on at once, in front of the one that would do: as long as a pass may
    // take, again and again.
    for _ in 0..5 {
        let all = (0..40).map(hang).chain([("good".to_owned(), false)]);
        let works = all.map(|(key, hangs)| {
            let tried = &tried;
            (key, async move {
                if hangs {
                    std::future::pending::<()>().await;
                }
                tried.set(tried.get() + 1);
                Ok(Done::steps(1))
            })
        });
        let works: Vec<_> = works.collect();
        let mut report = PassReport::default();
        let pass = keys.work(&mut report, works);
        let _ = tokio::time::timeout(Duration::from_secs(30), pass).await;
    }
    assert!(tried.get() > 0, "it never had its turn");
}
