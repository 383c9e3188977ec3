//! Characters to the forms that are compared.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Brings a text to the form that words are cut from: compatibility forms
/// resolved (NFKC), lower case, digits of all scripts in ASCII, what is not
/// seen (tatweel, harakat, soft hyphens, direction marks) taken out, Arabic
/// letters that are written in several ways made one, traditional Chinese
/// characters to simplified ones, which the dictionary of words is of.
///
/// Diacritics stay, since stemmers need them; [`plain`] takes them off.
pub(crate) fn normalize(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    let mut grouped = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        // `10 000` with a space that does not break is one number. NFKC
        // would turn it into a plain space.
        let groups = matches!(c, '\u{a0}' | '\u{202f}' | '\u{2009}')
            && before.is_numeric()
            && chars.peek().is_some_and(|next| next.is_numeric());
        grouped.push(if groups { ',' } else { c });
        before = c;
    }
    for c in grouped.nfkc().flat_map(char::to_lowercase) {
        match c {
            // Tatweel, harakat and Quranic marks, soft hyphen, zero-width
            // characters, marks and overrides of direction, byte order mark.
            '\u{640}'
            | '\u{610}'..='\u{61a}'
            | '\u{64b}'..='\u{65f}'
            | '\u{670}'
            | '\u{6d6}'..='\u{6ed}'
            | '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}'
            | '\u{2066}'..='\u{2069}'
            | '\u{feff}' => {}
            'أ' | 'إ' | 'آ' | 'ٱ' => out.push('ا'),
            'ى' | 'ی' => out.push('ي'),
            'ک' => out.push('ك'),
            // The Arabic decimal and thousands separators.
            '٫' => out.push('.'),
            '٬' => out.push(','),
            // All dashes that NFKC leaves, and the minus sign.
            '\u{2010}'..='\u{2015}' | '\u{2212}' => out.push('-'),
            '\u{2018}' | '\u{2019}' | '\u{2bc}' => out.push('\''),
            'ё' => out.push('е'),
            _ => out.push(ascii_digit(c).unwrap_or(c)),
        }
    }
    // Most texts have none, and each character is looked up.
    if out.chars().any(is_han) {
        return fast2s::convert(&out);
    }
    out
}

/// The block in which all traditional characters in use are.
const fn is_han(c: char) -> bool {
    matches!(c, '\u{4e00}'..='\u{9fff}')
}

/// The form of a word without diacritics, and with a final teh marbuta as heh.
/// Cyrillic short i keeps its breve, which makes it another letter.
pub(crate) fn plain(word: &str) -> String {
    if word.is_ascii() {
        return word.to_owned();
    }
    let mut out = String::with_capacity(word.len());
    for c in word.chars() {
        match c {
            'ة' => out.push('ه'),
            'ؤ' => out.push('و'),
            'ئ' => out.push('ي'),
            'œ' => out.push_str("oe"),
            'æ' => out.push_str("ae"),
            'ß' => out.push_str("ss"),
            'ø' => out.push('o'),
            'ł' => out.push('l'),
            'đ' => out.push('d'),
            'ı' => out.push('i'),
            'й' => out.push(c),
            _ => out.extend(std::iter::once(c).nfd().filter(|c| !is_combining_mark(*c))),
        }
    }
    out
}

/// The ASCII form of a decimal digit of another script.
fn ascii_digit(c: char) -> Option<char> {
    /// Where the digits of the scripts begin that people write numbers in;
    /// Unicode puts the ten of a script in a row.
    const ZEROS: [u32; 16] = [
        0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50,
        0xed0, 0x1040, 0x17e0,
    ];
    let code = u32::from(c);
    if code < 0x660 {
        return None;
    }
    let value = ZEROS
        .iter()
        .map(|zero| code.wrapping_sub(*zero))
        .find(|value| *value < 10)?;
    char::from_digit(value, 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_several_ways_becomes_one() {
        for (text, wanted) in [
            ("ﬁbre ＩＴＵ", "fibre itu"),
            ("٣٫٥ و۱۲", "3.5 و12"),
            ("العَرَبِيَّة", "العربية"),
            ("الحمـــد", "الحمد"),
            ("أحمد إلى آخر", "احمد الي اخر"),
            ("ﻻ", "لا"),
            ("inter\u{ad}net\u{200f}", "internet"),
            ("10\u{202f}000", "10,000"),
            ("ITU\u{2011}T", "itu-t"),
            ("Ещё", "еще"),
            ("國際電信聯盟的網絡", "国际电信联盟的网络"),
            ("計畫與畫圖", "计划与画图"),
            ("国家网络的名著", "国家网络的名著"),
        ] {
            assert_eq!(normalize(text), wanted, "{text}");
        }
    }

    #[test]
    fn plain_words_have_no_diacritics() {
        for (word, wanted) in [
            ("économie", "economie"),
            ("niño", "nino"),
            ("cœur", "coeur"),
            ("мой", "мой"),
            ("شبكة", "شبكه"),
            ("مسؤول", "مسوول"),
        ] {
            assert_eq!(plain(word), wanted);
        }
    }
}
