use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-01-01 12:00 UTC);

fn lost() -> View {
    View { has_builder: true, ..View::default() }
}

fn failed(failures: u32, ago: Duration) -> View {
    View { failures, failed: Some((NOW - ago, "no such repository.".into())), ..lost() }
}

#[test]
fn it_is_built_again_unless_there_is_a_reason_not_to() {
    let cases = [
        (lost(), None),
        (View { has_builder: false, ..lost() }, Some("as soon as a builder can work")),
        (View { replacing: true, ..lost() }, Some("another deployment is on its way")),
        (View { cancelled: true, ..lost() }, Some("was cancelled")),
        (failed(1, Duration::minutes(9)), Some("no such repository. It is tried again later")),
        (failed(1, Duration::minutes(11)), None),
        (failed(2, Duration::minutes(59)), Some("tried again later")),
        (failed(2, Duration::minutes(61)), None),
        (failed(3, Duration::days(30)), Some("no such repository (3 times). Mend that")),
        (failed(u32::MAX, Duration::days(30)), Some("Mend that")),
    ];
    for (view, waits) in cases {
        match (judge(&view, NOW), waits) {
            (Verdict::Build, None) => {}
            (Verdict::Wait(reason), Some(part)) => {
                assert!(reason.text.contains(part), "{view:?}: {reason:?}");
                assert_eq!(reason.code, IMAGE_LOST);
            }
            (verdict, waits) => panic!("{view:?}: {verdict:?}, not {waits:?}"),
        }
    }
}
