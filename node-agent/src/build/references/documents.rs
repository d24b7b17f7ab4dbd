//! Here-documents: lines behind a `RUN`, `COPY` or `ADD` that are no instructions to newer
//! frontends, and are to older ones. Passed over where it makes no difference, because a frontend
//! that takes them for instructions refuses the whole Dockerfile at the document's end line.

/// As the end of a document each of these could be an instruction as well.
const INSTRUCTIONS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// How many of the lines behind a whole instruction are those of its documents, ends included; none
/// unless that is certain for all of them.
pub(super) fn length(instruction: &str, behind: &[&str]) -> usize {
    let mut length = 0;
    for name in names(instruction).unwrap_or_default() {
        let Some(end) = behind[length..].iter().position(|line| line.trim() == name) else {
            return 0;
        };
        if !behind[length..length + end].iter().all(|line| is_plain(line)) {
            return 0;
        }
        length += end + 1;
    }
    length
}

/// The names of an instruction's documents; none where one could be understood in another way.
fn names(instruction: &str) -> Option<Vec<&str>> {
    let mut words = instruction.split_whitespace();
    let first = words.next()?;
    ["RUN", "COPY", "ADD"].iter().find(|known| first.eq_ignore_ascii_case(known))?;
    words.filter(|word| word.contains("<<")).map(name).collect()
}

/// The name in `<<NAME`, `3<<-"NAME"`.
fn name(word: &str) -> Option<&str> {
    let (descriptor, name) = word.split_once("<<")?;
    let name = name.strip_prefix('-').unwrap_or(name);
    let quoted = |quote| name.strip_prefix(quote)?.strip_suffix(quote);
    let name = quoted('"').or_else(|| quoted('\'')).unwrap_or(name);
    let is_word = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let is_instruction = INSTRUCTIONS.iter().any(|known| name.eq_ignore_ascii_case(known));
    (descriptor.chars().all(|c| c.is_ascii_digit()) && is_word && !is_instruction).then_some(name)
}

/// A line that continues could swallow the end, and one that begins a document could make it its
/// own.
fn is_plain(line: &str) -> bool {
    !line.trim_end().ends_with(['\\', '`']) && !line.contains("<<")
}
