//! Small files, small functions: a file fits into one look, a function onto one screen.
//!
//! Counts whole lines, with comments. Code that a macro makes is not seen.

use std::path::Path;

use anyhow::{Context, bail};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use crate::sources::{self, Source};

#[cfg(test)]
mod tests;

const FILE_LIMIT: usize = 500;
const FUNCTION_LIMIT: usize = 60;

/// Lengths of all files and functions, and what is too long.
#[derive(Default)]
struct Survey {
    files: Vec<usize>,
    functions: Vec<usize>,
    faults: Vec<String>,
}

/// Fails when a file or a function is too long; prints the usual lengths.
pub fn run(root: &Path) -> anyhow::Result<()> {
    let mut survey = survey(&sources::with_extension(root, "rs")?)?;
    println!("sizes: files {}", summary(&mut survey.files));
    println!("sizes: functions {}", summary(&mut survey.functions));
    if !survey.faults.is_empty() {
        bail!("too long, split by noun or verb:\n  {}", survey.faults.join("\n  "));
    }
    Ok(())
}

fn survey(sources: &[Source]) -> anyhow::Result<Survey> {
    let mut survey = Survey::default();
    for source in sources {
        let lines = source.text.lines().count();
        survey.files.push(lines);
        if lines > FILE_LIMIT {
            survey.faults.push(format!("{}: {lines} lines, at most {FILE_LIMIT}", source.path));
        }
        let file = syn::parse_file(&source.text).with_context(|| source.path.clone())?;
        let mut functions = Functions { path: &source.path, survey: &mut survey };
        functions.visit_file(&file);
    }
    Ok(survey)
}

/// Median, ninetieth percentile and maximum in words.
fn summary(lengths: &mut [usize]) -> String {
    lengths.sort_unstable();
    let at = |percent: usize| lengths.get(lengths.len() * percent / 100);
    match (at(50), at(90), lengths.last()) {
        (Some(median), Some(p90), Some(longest)) => {
            format!("{}, median {median}, p90 {p90}, longest {longest} lines", lengths.len())
        }
        _ => "none".to_owned(),
    }
}

struct Functions<'a> {
    path: &'a str,
    survey: &'a mut Survey,
}

impl Functions<'_> {
    fn measure(&mut self, signature: &syn::Signature, body: &syn::Block) {
        let first = signature.span().start().line;
        let lines = body.span().end().line + 1 - first;
        self.survey.functions.push(lines);
        if lines > FUNCTION_LIMIT {
            self.survey.faults.push(format!(
                "{}:{first}: fn {}, {lines} lines, at most {FUNCTION_LIMIT}",
                self.path, signature.ident
            ));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.measure(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        if let Some(body) = &function.default {
            self.measure(&function.sig, body);
        }
        visit::visit_trait_item_fn(self, function);
    }
}
