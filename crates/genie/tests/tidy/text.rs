//! Lines and words.

pub(crate) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

/// A line of TOML without its comment.
pub(crate) fn before_comment(line: &str) -> &str {
    let mut quoted = None;
    for (at, character) in line.char_indices() {
        match (quoted, character) {
            (None, '#') => return &line[..at],
            (None, '"' | '\'') => quoted = Some(character),
            (Some(open), _) if open == character => quoted = None,
            _ => {}
        }
    }
    line
}

pub(crate) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

pub(crate) fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().unwrap_or(' ');
        let after = line[at + word.len()..].chars().next().unwrap_or(' ');
        !is_word(before) && !is_word(after)
    })
}

pub(crate) fn has_word_before(line: &str, word: &str, mark: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back().unwrap_or(' ');
        !is_word(before) && line[at + word.len()..].starts_with(mark)
    })
}
