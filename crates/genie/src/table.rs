//! Tables for people.

use crate::render::plain;

/// Rows below their headings, each column as wide as what is in it. What comes
/// from outside can't move the cursor.
pub(crate) fn table<const N: usize>(headings: [&str; N], rows: &[[String; N]]) -> String {
    let rows: Vec<[String; N]> = rows
        .iter()
        .map(|row| row.each_ref().map(|cell| one_line(cell)))
        .collect();
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = line(&headings.map(str::to_owned), &widths);
    for row in &rows {
        text.push_str(&line(row, &widths));
    }
    text
}

fn one_line(cell: &str) -> String {
    match plain(cell).split_whitespace().collect::<Vec<_>>().join(" ") {
        empty if empty.is_empty() => "–".to_owned(),
        text => text,
    }
}

fn line<const N: usize>(cells: &[String; N], widths: &[usize; N]) -> String {
    let mut text = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        text.push_str(cell);
        // Counted in characters, which is right for the names that we write.
        text.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [
            ["default".to_owned(), "Santé\nà deux\u{1b}[2J".to_owned()],
            ["b".to_owned(), String::new()],
        ];
        assert_eq!(
            table(["ID", "NAME"], &rows),
            "ID       NAME\ndefault  Santé à deux\u{fffd}[2J\nb        –\n"
        );
    }
}
