use proptest::prelude::*;

use crate::build::{BuildEvent, BuildStatus};
use crate::commit::is_commit_id;
use crate::deployment::{DeploymentEvent, DeploymentStatus};
use crate::generation::Position;
use crate::id::{BuildId, ProjectId};
use crate::name;

proptest! {
    #[test]
    fn an_id_reads_back_from_its_text(bits: u128) {
        let id = ProjectId(uuid::Uuid::from_u128(bits));
        prop_assert_eq!(id.to_string().parse::<ProjectId>(), Ok(id));
    }

    #[test]
    fn hostile_text_is_no_id_and_no_panic(text in ".{0,64}") {
        prop_assert!(text.parse::<ProjectId>().is_err() || text.starts_with("prj_"));
    }

    #[test]
    fn a_suggested_slug_is_empty_or_valid(text in ".{0,200}") {
        let slug = name::slug_of(&text);
        prop_assert!(slug.is_empty() || name::check_slug(&slug).is_ok(), "{}", slug);
    }

    #[test]
    fn an_internal_label_leaves_room_for_a_suffix(project in "[a-z0-9]{1,40}", environment in "[a-z0-9]{1,40}") {
        prop_assert!(name::internal_label(&project, &environment).len() + 5 <= name::LABEL_MAXIMUM);
    }
}

#[test]
fn an_id_of_another_kind_is_refused() {
    let build = BuildId::new().to_string();
    assert!(build.parse::<ProjectId>().is_err());
}

#[test]
fn an_id_that_overflows_128_bits_is_refused() {
    assert!("prj_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<ProjectId>().is_err());
}

#[test]
fn what_has_ended_stays_ended_unless_wished_again() {
    use DeploymentEvent::{BuildStarted, Cancelled, Failed, ImageReady, Routed, Superseded};
    for &status in DeploymentStatus::ALL.iter().filter(|status| status.is_final()) {
        for event in [BuildStarted, ImageReady, Routed, Superseded, Failed, Cancelled] {
            assert_eq!(status.after(event), None, "{status} after {event:?}");
        }
    }
    for &status in BuildStatus::ALL.iter().filter(|status| status.is_final()) {
        for event in [BuildEvent::Claimed, BuildEvent::Succeeded, BuildEvent::LeaseLost] {
            assert_eq!(status.after(event), None, "{status} after {event:?}");
        }
    }
}

#[test]
fn a_position_of_another_epoch_is_never_refused_as_older() {
    let seen = Position { epoch: 1, generation: 9 };
    assert!(seen.refuses(Position { epoch: 1, generation: 8 }));
    assert!(!seen.refuses(seen));
    assert!(!seen.refuses(Position { epoch: 2, generation: 1 }));
}

#[test]
fn only_a_whole_commit_id_is_one() {
    let (short, long) = ("0123456789abcdef0123456789abcdef01234567", "a1".repeat(32));
    assert!(is_commit_id(short) && is_commit_id(&long));
    let upper = short.to_uppercase();
    let padded = format!(" {}", &short[1..]);
    for refused in ["", "main", "HEAD", &short[1..], &upper, &padded, &long[1..], "--upload-pack"] {
        assert!(!is_commit_id(refused), "{refused:?}");
    }
    assert!(!is_commit_id(&"é".repeat(20)), "40 bytes are not 40 digits");
}

#[test]
fn the_platform_sets_its_own_variables_alone() {
    assert!(name::check_variable_name("DATABASE_URL").is_ok());
    for refused in ["", "PORT", "ZEITWORK_X", "1A", "A B", "A=B", "Ä"] {
        assert!(name::check_variable_name(refused).is_err(), "{refused:?}");
    }
}
