use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Rows, escape};

#[test]
fn control_characters_are_shown_and_never_sent() {
    assert_eq!(escape::line("\u{1b}[2Jgone\r\u{7}\u{9b}1m"), "\\x1b[2Jgone\\x0d\\x07\\x9b1m");
    assert_eq!(escape::line("a\tb\nc"), "a\tb\\x0ac");
    assert_eq!(escape::lines("a\tb\nc\u{0}"), "a\tb\nc\\x00");
    assert_eq!(escape::line("grün 語 ⚙"), "grün 語 ⚙");
    assert_eq!(escape::line("abc\u{202e}txt.exe"), "abc\\u{202e}txt.exe");
}

#[test]
fn a_table_lines_up_and_has_no_colours_unless_wanted() {
    let mut rows = Rows::new(&["name", "status"]);
    rows.push(["shop".to_owned(), "live".to_owned()]);
    rows.push(["a-longer-name".to_owned(), "failed".to_owned()]);
    assert_eq!(
        rows.render(false),
        "NAME           STATUS\nshop           live\na-longer-name  failed"
    );
    assert!(rows.render(true).contains('\u{1b}'));
}

#[test]
fn a_cell_cannot_leave_its_row() {
    let mut rows = Rows::new(&["name"]);
    rows.push(["one\ntwo\u{1b}[31m".to_owned()]);
    assert_eq!(rows.render(false), "NAME\none\\x0atwo\\x1b[31m");
}

proptest! {
    #[test]
    fn no_text_moves_the_terminal(text in any::<String>()) {
        let shown = escape::line(&text);
        prop_assert!(shown.chars().all(|c| c == '\t' || !c.is_control()), "{shown:?}");
    }

    #[test]
    fn json_stays_the_same_value_and_has_no_controls(text in any::<String>()) {
        let value = json!({"text": text});
        let shown = escape::json(&value.to_string());
        prop_assert!(shown.chars().all(|c| !c.is_control()), "{shown:?}");
        prop_assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
    }
}
