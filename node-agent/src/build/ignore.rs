//! `.dockerignore`, by Docker's own rules (moby/patternmatcher), which are not git's: patterns
//! are anchored at the root of the context, the last one that matches decides, `!` takes back,
//! `**` crosses directories, and what lies below a match is matched too.

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// Exactly this character.
    Literal(char),
    /// `?`: one character, no separator.
    One,
    /// `*`: any characters, no separator.
    Star,
    /// `**` with something behind it: nothing, or anything that ends in a separator.
    Deep,
    /// `**` at the end: anything.
    Any,
    /// `[a-z]`, `[^a-z]`.
    Class { negated: bool, ranges: Vec<(char, char)> },
}

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    /// `!`: what matches is sent after all.
    takes_back: bool,
    tokens: Vec<Token>,
}

/// A whole file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ignore {
    patterns: Vec<Pattern>,
}

/// Which patterns matched a path; handed to the paths below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Matched(Vec<bool>);

impl Ignore {
    /// Reads the file. Lines that mean nothing are skipped.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.trim_start_matches('\u{feff}');
        Self { patterns: text.lines().filter_map(pattern).collect() }
    }

    /// Whether a `!` could take back what lies below an ignored directory.
    #[must_use]
    pub fn takes_back(&self) -> bool {
        self.patterns.iter().any(|pattern| pattern.takes_back)
    }

    /// Whether a path (separated by `/`, relative to the context) is ignored, and what its
    /// children need to know. `parent` is what was returned for its directory.
    #[must_use]
    pub fn ignores(&self, path: &str, parent: &Matched) -> (bool, Matched) {
        let characters: Vec<char> = path.chars().collect();
        let matched: Vec<bool> = self
            .patterns
            .iter()
            .enumerate()
            .map(|(i, pattern)| {
                parent.0.get(i).copied().unwrap_or(false) || matches(&pattern.tokens, &characters)
            })
            .collect();
        let last = matched.iter().rposition(|&matched| matched);
        (last.is_some_and(|i| !self.patterns[i].takes_back), Matched(matched))
    }
}

fn pattern(line: &str) -> Option<Pattern> {
    // A comment is one only in the first column, as Docker has it.
    if line.starts_with('#') {
        return None;
    }
    let line = line.trim();
    let (takes_back, line) = match line.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, line),
    };
    let cleaned = clean(line);
    (!cleaned.is_empty() && cleaned != ".")
        .then(|| Pattern { takes_back, tokens: tokens(&cleaned) })
}

/// `filepath.Clean` without the leading separator: `.` and empty parts go, `..` takes one away.
fn clean(line: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in line.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut rest = pattern.chars().peekable();
    let mut tokens = Vec::new();
    while let Some(character) = rest.next() {
        tokens.push(match character {
            '*' if rest.peek() == Some(&'*') => {
                while rest.next_if_eq(&'*').is_some() {}
                rest.next_if_eq(&'/');
                if rest.peek().is_none() { Token::Any } else { Token::Deep }
            }
            '*' => Token::Star,
            '?' => Token::One,
            '[' => match class(&mut rest.clone()) {
                Some((token, length)) => {
                    rest.nth(length - 1);
                    token
                }
                None => Token::Literal('['),
            },
            '\\' => Token::Literal(rest.next().unwrap_or('\\')),
            other => Token::Literal(other),
        });
    }
    tokens
}

/// A class after its `[`, and how many characters it takes; none if it does not end.
fn class(rest: &mut dyn Iterator<Item = char>) -> Option<(Token, usize)> {
    let mut ends = false;
    let inner: Vec<char> = rest
        .take_while(|&character| {
            ends = character == ']';
            !ends
        })
        .collect();
    if !ends {
        return None;
    }
    let length = inner.len() + 1;
    let negated = inner.first() == Some(&'^');
    let inner = &inner[usize::from(negated)..];
    let mut ranges = Vec::new();
    let mut i = 0;
    while i < inner.len() {
        if i + 2 < inner.len() && inner[i + 1] == '-' {
            ranges.push((inner[i], inner[i + 2]));
            i += 3;
        } else {
            ranges.push((inner[i], inner[i]));
            i += 1;
        }
    }
    (!ranges.is_empty()).then_some((Token::Class { negated, ranges }, length))
}

/// Runs the pattern over the text with all possibilities at once, so that no pattern can make
/// it slow: the cost is the product of the two lengths.
fn matches(tokens: &[Token], text: &[char]) -> bool {
    let mut at = vec![false; tokens.len() + 1];
    let mut inside = vec![false; tokens.len()];
    at[0] = true;
    skip_empty(tokens, &mut at);
    for &character in text {
        let mut next = vec![false; tokens.len() + 1];
        for (i, token) in tokens.iter().enumerate() {
            if *token == Token::Deep {
                inside[i] |= at[i];
                next[i + 1] |= inside[i] && character == '/';
            } else if at[i] && takes(token, character) {
                let stays = matches!(token, Token::Star | Token::Any);
                next[if stays { i } else { i + 1 }] = true;
            }
        }
        skip_empty(tokens, &mut next);
        at = next;
    }
    at[tokens.len()]
}

/// Goes past what may match nothing.
fn skip_empty(tokens: &[Token], at: &mut [bool]) {
    for (i, token) in tokens.iter().enumerate() {
        if at[i] && matches!(token, Token::Star | Token::Deep | Token::Any) {
            at[i + 1] = true;
        }
    }
}

fn takes(token: &Token, character: char) -> bool {
    match token {
        Token::Literal(wanted) => *wanted == character,
        Token::One | Token::Star => character != '/',
        Token::Any | Token::Deep => true,
        Token::Class { negated, ranges } => {
            let within = ranges.iter().any(|(from, to)| (*from..=*to).contains(&character));
            character != '/' && within != *negated
        }
    }
}

#[cfg(test)]
mod tests;
