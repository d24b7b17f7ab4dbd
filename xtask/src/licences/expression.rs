//! Licence expressions of SPDX: `AND` needs both sides, `OR` (also an old `/`) one of them.

/// Licences that ask for nothing but to be named.
const ALLOWED: [&str; 13] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "ISC",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// Whether the expression can be met with allowed licences alone; what cannot be read is not.
pub fn is_allowed(expression: &str) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let mut words: Vec<&str> = spaced.split_whitespace().rev().collect();
    alternatives(&mut words) == Some(true) && words.is_empty()
}

fn alternatives(words: &mut Vec<&str>) -> Option<bool> {
    let mut met = all_of(words)?;
    while words.pop_if(|word| *word == "OR").is_some() {
        met |= all_of(words)?;
    }
    Some(met)
}

fn all_of(words: &mut Vec<&str>) -> Option<bool> {
    let mut met = one(words)?;
    while words.pop_if(|word| *word == "AND").is_some() {
        met &= one(words)?;
    }
    Some(met)
}

fn one(words: &mut Vec<&str>) -> Option<bool> {
    let word = words.pop()?;
    if word == "(" {
        let met = alternatives(words)?;
        return words.pop_if(|word| *word == ")").map(|_| met);
    }
    if words.pop_if(|word| *word == "WITH").is_some() {
        let exception = words.pop()?;
        return Some(ALLOWED.contains(&format!("{word} WITH {exception}").as_str()));
    }
    Some(ALLOWED.contains(&word))
}
