//! A file and a function at the limit pass, one line more fails.

use super::{Source, summary, survey};

fn source(text: String) -> [Source; 1] {
    [Source { path: "sample/src/lib.rs".to_owned(), text }]
}

fn function_of(lines: usize) -> String {
    format!("/// Said.\n#[must_use]\nfn long() {{\n{}}}\n", "    step();\n".repeat(lines - 2))
}

#[test]
fn a_file_of_500_lines_passes_and_one_of_501_fails() {
    let lines = |count| "// why\n".repeat(count);
    assert!(survey(&source(lines(500))).unwrap().faults.is_empty());
    let faults = survey(&source(lines(501))).unwrap().faults;
    assert_eq!(faults, ["sample/src/lib.rs: 501 lines, at most 500"]);
}

#[test]
fn a_function_of_60_lines_passes_and_one_of_61_fails() {
    assert!(survey(&source(function_of(60))).unwrap().faults.is_empty());
    let faults = survey(&source(function_of(61))).unwrap().faults;
    assert_eq!(faults, ["sample/src/lib.rs:3: fn long, 61 lines, at most 60"]);
}

#[test]
fn methods_and_nested_functions_are_measured_too() {
    let method = format!("struct S;\nimpl S {{\n{}}}\n", function_of(61));
    assert_eq!(survey(&source(method)).unwrap().faults.len(), 1);
    let nested = format!("mod inner {{\n{}}}\n", function_of(61));
    assert_eq!(survey(&source(nested)).unwrap().faults.len(), 1);
    let default = format!("trait T {{\n{}}}\n", function_of(61));
    assert_eq!(survey(&source(default)).unwrap().faults.len(), 1);
}

#[test]
fn lengths_are_summed_up_even_when_there_are_none() {
    assert_eq!(summary(&mut [3, 1, 2]), "3, median 2, p90 3, longest 3 lines");
    assert_eq!(summary(&mut []), "none");
}
