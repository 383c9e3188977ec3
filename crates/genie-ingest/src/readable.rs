//! What a reader sees of Markdown and the HTML in it.

use std::borrow::Cow;

use genie_core::MediaType;
use pulldown_cmark::{Event, Parser, TagEnd};

use crate::markdown::{OPTIONS, is_template_tag};

/// A passage as a reader sees it: without Markdown's marks, link targets and
/// HTML tags. For text that a model is to embed or to read; quotes and spans
/// stay those of the file.
///
/// ```
/// use genie_core::MediaType;
/// use genie_ingest::readable;
///
/// assert_eq!(
///     readable(MediaType::Markdown, "See **[Giga](https://giga.global)**<br>now"),
///     "See Giga now"
/// );
/// assert_eq!(readable(MediaType::Text, "2 * 3 * 4"), "2 * 3 * 4");
/// ```
#[must_use]
pub fn readable(media_type: MediaType, text: &str) -> Cow<'_, str> {
    match media_type {
        MediaType::Markdown => Cow::Owned(plain_markdown(text)),
        _ => Cow::Borrowed(text),
    }
}

pub(crate) fn plain_markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for event in Parser::new_ext(text, OPTIONS) {
        match event {
            Event::Text(text) | Event::Code(text) => out.push_str(&text),
            Event::InlineHtml(tag) | Event::Html(tag) => out.push_str(&without_tags(&tag)),
            Event::SoftBreak | Event::HardBreak => out.push('\n'),
            Event::End(TagEnd::TableCell) => out.push_str(" | "),
            Event::End(
                TagEnd::Paragraph
                | TagEnd::Heading(_)
                | TagEnd::Item
                | TagEnd::TableHead
                | TagEnd::TableRow
                | TagEnd::CodeBlock
                | TagEnd::HtmlBlock,
            ) => out.push('\n'),
            _ => {}
        }
    }
    let mut lines = String::with_capacity(out.len());
    for line in out.lines().filter(|line| !is_template_tag(line)) {
        let line = line.trim().trim_end_matches('|').trim_end();
        if line.is_empty() {
            continue;
        }
        if !lines.is_empty() {
            lines.push('\n');
        }
        let mut words = line.split_whitespace();
        lines.extend(words.next());
        for word in words {
            lines.push(' ');
            lines.push_str(word);
        }
    }
    lines
}

/// HTML without its tags and comments, a space in their place, and with the
/// commonest entities as characters.
pub(crate) fn without_tags(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(open) = rest.find('<') {
        out.push_str(&rest[..open]);
        let tag = &rest[open..];
        let is_tag =
            tag[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '!');
        let end = if tag.starts_with("<!--") {
            tag.find("-->").map(|at| at + 3)
        } else {
            tag.find('>').map(|at| at + 1)
        };
        match end {
            Some(end) if is_tag => {
                out.push(' ');
                rest = &tag[end..];
            }
            _ => {
                out.push('<');
                rest = &tag[1..];
            }
        }
    }
    out.push_str(rest);
    for (entity, character) in [
        ("&nbsp;", " "),
        ("&#x20;", " "),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ] {
        if out.contains(entity) {
            out = out.replace(entity, character);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_tags_become_words() {
        assert_eq!(
            plain_markdown("| a | b |\n|---|---|\n| **1** | 2 |"),
            "a | b\n1 | 2"
        );
        assert_eq!(
            plain_markdown("<table><tr><td><p>One</p></td><td>R&amp;D</td></tr></table>"),
            "One R&D"
        );
        assert_eq!(without_tags("1 < 2 <!-- a > b -->x"), "1 < 2  x");
    }
}
