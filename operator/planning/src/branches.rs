//! Which branches an environment follows: names, and patterns with `*` (within one part of the
//! name) and `**` (across parts). Git allows no `*` in a name, so a text with one is a pattern.

#[cfg(test)]
mod tests;

/// Whether the text names more than one branch.
#[must_use]
pub fn is_pattern(text: &str) -> bool {
    text.contains('*')
}

/// Whether an environment with this pattern (none: the default branch) follows the branch.
#[must_use]
pub fn follows(pattern: Option<&str>, branch: &str, default_branch: &str) -> bool {
    match pattern {
        Some(pattern) => matches(pattern, branch),
        None => branch == default_branch,
    }
}

/// Whether the pattern covers the whole name. Takes at most pattern × name steps, whatever a
/// user types.
#[must_use]
pub fn matches(pattern: &str, branch: &str) -> bool {
    let tokens = tokens(pattern);
    let name: Vec<char> = branch.chars().collect();
    // reached[i]: the tokens so far cover the first i characters.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    for token in tokens {
        let mut next = vec![false; name.len() + 1];
        match token {
            Token::Exactly(wanted) => {
                for (i, &found) in name.iter().enumerate() {
                    next[i + 1] = reached[i] && found == wanted;
                }
            }
            Token::Part | Token::Parts => {
                next[0] = reached[0];
                for (i, &found) in name.iter().enumerate() {
                    let goes_on = next[i] && (token == Token::Parts || found != '/');
                    next[i + 1] = reached[i + 1] || goes_on;
                }
            }
        }
        reached = next;
    }
    reached[name.len()]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Exactly(char),
    /// Any characters but `/`.
    Part,
    /// Any characters.
    Parts,
}

fn tokens(pattern: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    for letter in pattern.chars() {
        match (letter, tokens.last_mut()) {
            ('*', Some(last @ (Token::Part | Token::Parts))) => *last = Token::Parts,
            ('*', _) => tokens.push(Token::Part),
            (letter, _) => tokens.push(Token::Exactly(letter)),
        }
    }
    tokens
}
