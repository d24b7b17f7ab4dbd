//! Words that do not belong into the sources: unchecked SQL outside its one module, names of
//! shells in product code, notes that were left for later and code that was commented out.
//!
//! A lone `-c` is not refused: git and PostgreSQL take settings by it. Without a shell's name
//! it leads into no shell.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use proc_macro2::{Span, TokenStream, TokenTree};

use crate::sources::{self, Source, is_test};

#[cfg(test)]
mod tests;

/// The one module that may make SQL from text: the name of a test's database is no parameter.
const UNCHECKED_SQL: &str = "shared/database/src/testing.rs";

/// Programs that take a line of text for commands, and Docker's word for running one.
const SHELLS: [&str; 10] = [
    "sh",
    "bash",
    "dash",
    "/bin/sh",
    "/bin/bash",
    "/bin/dash",
    "/usr/bin/sh",
    "/usr/bin/bash",
    "/usr/bin/env",
    "CMD-SHELL",
];

/// Words of a comment that says what is still to be done.
const LEFT_OVER: [&str; 4] = ["TODO", "FIXME", "XXX", "HACK"];

/// Fails on any of them, with the place.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let mut faults = Vec::new();
    let rust = sources::with_extension(root, "rs")?;
    let sql = sources::with_extension(root, "sql")?;
    for source in &rust {
        faults.extend(code_faults(source)?);
        faults.extend(comment_faults(source, "//"));
    }
    for source in &sql {
        faults.extend(comment_faults(source, "--"));
    }
    println!("phrases: {} files", rust.len() + sql.len());
    if !faults.is_empty() {
        bail!("not in these sources:\n  {}", faults.join("\n  "));
    }
    Ok(())
}

fn code_faults(source: &Source) -> anyhow::Result<Vec<String>> {
    // The tools of the repository may name what they look for; the product is everything else.
    if is_test(&source.path) || source.path.starts_with("xtask/") {
        return Ok(Vec::new());
    }
    let tokens: TokenStream = source
        .text
        .parse()
        .map_err(|error| anyhow!("{error}"))
        .with_context(|| source.path.clone())?;
    let mut faults = Vec::new();
    walk(tokens, &mut |span, fault| {
        if source.path != UNCHECKED_SQL || fault != Fault::UncheckedSql {
            faults.push(format!("{}:{}: {}", source.path, span.start().line, fault.text()));
        }
    });
    Ok(faults)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    UncheckedSql,
    Shell,
}

impl Fault {
    fn text(self) -> String {
        match self {
            Self::UncheckedSql => format!("AssertSqlSafe outside {UNCHECKED_SQL}"),
            Self::Shell => "names a shell; commands are argument lists".to_owned(),
        }
    }
}

/// Looks at every token, also inside of macros.
fn walk(tokens: TokenStream, found: &mut impl FnMut(Span, Fault)) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => walk(group.stream(), found),
            TokenTree::Ident(ident) if ident == "AssertSqlSafe" => {
                found(ident.span(), Fault::UncheckedSql);
            }
            TokenTree::Literal(literal) if names_shell(&literal.to_string()) => {
                found(literal.span(), Fault::Shell);
            }
            _ => {}
        }
    }
}

fn names_shell(literal: &str) -> bool {
    let text = literal.trim_start_matches(['b', 'c', 'r', '#']).trim_end_matches('#');
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .is_some_and(|text| SHELLS.contains(&text))
}

fn comment_faults(source: &Source, mark: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in (1..).zip(source.text.lines()) {
        let Some((_, comment)) = line.split_once(mark) else { continue };
        let mut words = comment.split(|letter: char| !letter.is_alphanumeric());
        if let Some(word) = words.find(|word| LEFT_OVER.contains(word)) {
            faults.push(format!("{}:{number}: {word} in a comment", source.path));
        }
        if mark == "//" && line.trim_start().starts_with("// ") && is_code(comment) {
            faults.push(format!("{}:{number}: commented-out code", source.path));
        }
    }
    faults
}

/// A whole statement with a call or an assignment; prose does not parse as one.
fn is_code(comment: &str) -> bool {
    let text = comment.trim();
    text.ends_with(';') && text.contains(['(', '=']) && syn::parse_str::<syn::Stmt>(text).is_ok()
}
