//! Rust source without what is not code.

use crate::text::is_word;

/// The source with comments, strings and characters blanked out; lines stay
/// where they are.
pub(crate) fn code_only(source: &str) -> String {
    let text: Vec<char> = source.chars().collect();
    let at = |position: usize| text.get(position).copied().unwrap_or('\0');
    let mut code = String::with_capacity(source.len());
    let mut position = 0;
    while position < text.len() {
        let end = match (at(position), at(position + 1)) {
            ('/', '/') => end_of_line(&text, position),
            ('/', '*') => end_of_block_comment(&text, position),
            ('"', _) => end_of_string(&text, position),
            ('r', '"' | '#') if !is_word(position.checked_sub(1).map_or(' ', at)) => {
                end_of_raw_string(&text, position)
            }
            // A lifetime has no closing quote behind one character.
            ('\'', '\\') => end_of_escaped_character(&text, position),
            ('\'', _) if at(position + 2) == '\'' => position + 3,
            _ => position,
        };
        if end == position {
            code.push(text[position]);
            position += 1;
        }
        while position < end.min(text.len()) {
            code.push(if text[position] == '\n' { '\n' } else { ' ' });
            position += 1;
        }
    }
    code
}

fn end_of_line(text: &[char], start: usize) -> usize {
    (start..text.len())
        .find(|at| text[*at] == '\n')
        .unwrap_or(text.len())
}

fn end_of_block_comment(text: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut position = start;
    while position + 1 < text.len() {
        match (text[position], text[position + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                position += 1;
                continue;
            }
        }
        position += 2;
        if depth == 0 {
            return position;
        }
    }
    text.len()
}

fn end_of_string(text: &[char], start: usize) -> usize {
    let mut position = start + 1;
    while position < text.len() {
        match text[position] {
            '\\' => position += 2,
            '"' => return position + 1,
            _ => position += 1,
        }
    }
    text.len()
}

/// `start` itself where no raw string begins there (`r#type` is a name).
fn end_of_raw_string(text: &[char], start: usize) -> usize {
    let hashes = text[start + 1..].iter().take_while(|c| **c == '#').count();
    let open = start + 1 + hashes;
    if text.get(open) != Some(&'"') {
        return start;
    }
    (open + 1..text.len())
        .find(|at| {
            text[*at] == '"'
                && text[at + 1..]
                    .iter()
                    .take(hashes)
                    .filter(|c| **c == '#')
                    .count()
                    == hashes
        })
        .map_or(text.len(), |close| close + 1 + hashes)
}

fn end_of_escaped_character(text: &[char], start: usize) -> usize {
    // The character behind the backslash may itself be a quote.
    (start + 3..text.len())
        .find(|at| text[*at] == '\'')
        .map_or(text.len(), |close| close + 1)
}
