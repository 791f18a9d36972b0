//! Text on a screen: what is too wide or too long is cut, and says so.

/// At most `rows` lines of at most `columns` characters. Escape sequences take no room.
pub(crate) fn crop(text: &str, columns: usize, rows: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    // The last row of the screen holds the cursor.
    let room = rows.saturating_sub(1).max(1);
    let (shown, more) = if lines.len() <= room {
        (lines.len(), 0)
    } else {
        (room - 1, lines.len() - (room - 1))
    };
    let mut out = String::new();
    for line in lines.iter().take(shown) {
        out.push_str(&cut(line, columns));
        out.push('\n');
    }
    if more > 0 {
        out.push_str(&cut(
            &format!("({more} more lines; `quorate status` shows all)"),
            columns,
        ));
        out.push('\n');
    }
    out
}

fn cut(line: &str, columns: usize) -> String {
    let mut out = String::new();
    let mut width = 0;
    let mut escape = false;
    // Where the character is that would have to give way to the sign for what is cut.
    let mut last = None;
    for next in line.chars() {
        if escape || next == '\x1b' {
            // Colours end with their letter, and are kept so that what is cut ends in its own colour.
            escape = !(escape && next.is_ascii_alphabetic());
            out.push(next);
        } else if width < columns {
            width += 1;
            last = Some((out.len(), next.len_utf8()));
            out.push(next);
        } else if let Some((at, length)) = last.take() {
            out.replace_range(at..at + length, "…");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_cut_that_fits() {
        assert_eq!(crop("12345678\n", 8, 3), "12345678\n");
        assert_eq!(crop("a\nb\n", 8, 3), "a\nb\n");
    }

    #[test]
    fn what_is_too_wide_or_too_long_says_so() {
        assert_eq!(crop("123456789\n", 8, 3), "1234567…\n");
        let long = crop(&"x\n".repeat(30), 80, 24);
        assert_eq!(long.lines().count(), 23);
        assert!(
            long.ends_with("(8 more lines; `quorate status` shows all)\n"),
            "{long}"
        );
    }

    #[test]
    fn colours_take_no_room_and_are_ended() {
        let painted = "\x1b[31mabc\x1b[0m def";
        assert_eq!(crop(painted, 7, 3), format!("{painted}\n"));
        assert_eq!(crop(painted, 5, 3), "\x1b[31mabc\x1b[0m …\n");
        assert_eq!(crop("abc\x1b[1mdef", 3, 3), "ab…\x1b[1m\n");
        assert!(crop("\x1b[31mabcdef\x1b[0m", 3, 3).ends_with("\x1b[0m\n"));
    }
}
