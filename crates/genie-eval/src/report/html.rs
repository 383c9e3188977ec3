//! The few elements that the page is made of.

/// Text that can stand in an element or in a quoted attribute.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // No character of HTML, except for the white space.
            c if c.is_control() && !matches!(c, '\n' | '\t') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A table that is being written. Cells are plain text.
pub(super) struct Table(String);

impl Table {
    pub(super) fn new(caption: &str, header: &[String]) -> Self {
        let mut text = format!(
            "<div class=\"wide\">\n<table>\n<caption>{}</caption>\n<thead>\n<tr>",
            escape(caption)
        );
        for name in header {
            text.push_str(&format!("<th scope=\"col\">{}</th>", escape(name)));
        }
        text.push_str("</tr>\n</thead>\n<tbody>\n");
        Self(text)
    }

    pub(super) fn row(&mut self, name: &str, cells: &[String]) {
        self.0.push_str(&format!(
            "<tr><th scope=\"row\" dir=\"auto\">{}</th>",
            escape(name)
        ));
        for cell in cells {
            // Questions are in scripts of both directions.
            self.0
                .push_str(&format!("<td dir=\"auto\">{}</td>", escape(cell)));
        }
        self.0.push_str("</tr>\n");
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push_str("</tbody>\n</table>\n</div>\n");
        self.0
    }
}
