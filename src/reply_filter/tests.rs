use proptest::prelude::*;

use super::*;

fn stripped(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    ReplyFilter::new().filter_queries(bytes, &mut out);
    out
}

#[test]
fn questions_are_taken_out() {
    for question in [
        "\x1b[c",
        "\x1b[0c",
        "\x1b[>c",
        "\x1b[=0c",
        "\x1b[5n",
        "\x1b[6n",
        "\x1b[?6n",
        "\x1b[?996n",
        "\x1bZ",
        "\x05",
        "\x1b[x",
        "\x1b[?2004$p",
        "\x1b[4$p",
        "\x1b[>0q",
        "\x1b[18t",
        "\x1b[21t",
        "\x1b[1$w",
        "\x1b]10;?\x07",
        "\x1b]4;1;?\x1b\\",
        "\x1b]52;c;?\x07",
        "\x1bP$qm\x1b\\",
        "\x1bP+q544e\x1b\\",
        "\x1b[?u",
        "\x1b[?4m",
        "\x1b_Gi=1,a=q;AAAA\x1b\\",
        "\x1b[?1;1;0S",
        "\x1b[\"v",
        "\x1b[0;0;1;1#|",
        "\x1b[#R",
        "\x1b[5#S",
        "\x1b]50;?1\x07",
        "\x1b]21;foreground=?\x1b\\",
        "\x1b]22;?__current__\x1b\\",
        "\x1b]60\x1b\\",
        "\x1b]1337;ReportCellSize\x07",
        "\x1bP+Q666f6e74\x1b\\",
        // In 8 bits, and these as UTF-8 has them.
        "\u{9b}c",
        "\u{9b}6n",
        "\u{9a}",
        "\u{9d}11;?\u{9c}",
        "\u{90}$qm\u{9c}",
        "\u{9d}11;?\x07",
        "\x1b]11;?\u{9c}",
    ] {
        assert_eq!(stripped(format!("a{question}b").as_bytes()), b"ab", "{question:?}");
    }
}

#[test]
fn questions_of_8_bits_are_taken_out() {
    for question in [&b"\x9bc"[..], b"\x9b6n", b"\x9a", b"\x9d11;?\x9c", b"\x90+q544e\x9c"] {
        assert_eq!(stripped(&[b"a", question, b"b"].concat()), b"ab", "{question:?}");
    }
}

/// What a terminal obeys though other bytes are in between, and what comes after a sequence that
/// has no end.
#[test]
fn questions_amid_others_are_taken_out() {
    assert_eq!(stripped(b"\x1b[\n6\rn."), b"\n\r.");
    assert_eq!(stripped(b"\x1b[\x051m"), b"\x1b[1m");
    assert_eq!(stripped(b"\x1b]0;tit\x1b[c."), b"\x1b]0;tit.");
    assert_eq!(stripped(b"\x1bP+q\x1b\x1b[c."), b"\x1bP+q\x1b.");
    assert_eq!(stripped(b"\xc2\x1b[c."), b"\xc2.");
    assert_eq!(stripped(b"\x1b[3\x1b[c."), b"\x1b[3.");
}

#[test]
fn everything_else_stays() {
    for text in [
        "plain\r\n\t\x08",
        "\x1b[1;31mred\x1b[m",
        "\x1b[2J\x1b[H",
        "\x1b[?25l\x1b[?1049h",
        "\x1b]0;title?\x07",
        "\x1b]0;why;not\x1b\\",
        "\x1b(0x\x1b(B",
        "\x1b[8;24;80t",
        "\x1b[22;0t",
        "\u{e4}\u{20ac}",
        "\x1b[?1c",
        "\x1b[4 q",
        "\x1bPq#0;2~\x1b\\",
        "\x1b[>4;2m",
        "\x1b[!p",
        "\x1b\x1b[m",
        "\x1b[1\x1b[2m",
        // Each has a byte that would be a control without the one before it.
        "\u{15b}c\u{15a}\u{5da}\u{1f41a}\u{15d}11;?\x07",
        "\x1b]0;\u{dc}c?\x07",
        "\x1b]8;;http://a/?a=?\x1b\\",
        "\x1b]9;4;1\x07",
    ] {
        assert_eq!(stripped(text.as_bytes()), text.as_bytes(), "{text:?}");
    }
}

#[test]
fn modes_are_put_back() {
    let mut filter = ReplyFilter::new();
    filter.pass_through(b"\x1b[?1049;1000h\x1b[?25l\x1b[1m\x1b=\x1b[2;5r\x1b(0", &mut Vec::new());
    assert_eq!(
        filter.reset_sequence(),
        b"\x1b7\x1b[r\x1b8\x0f\x1b(B\x1b>\x1b[m\x1b[?25h\x1b[?1000l\x1b[?1049l"
    );
    filter.pass_through(b"\x1b[?1049;1000l\x1b[?25h\x1b[0m\x1b>\x1b[r\x1b(B", &mut Vec::new());
    assert_eq!(filter.reset_sequence(), b"");
}

#[test]
fn keys_and_line_wrap_are_put_back() {
    let mut filter = ReplyFilter::new();
    filter.pass_through(b"\x1b[?7l\x1b[>4;2m\x1b[>1u\x1b[>5u", &mut Vec::new());
    assert_eq!(filter.reset_sequence(), b"\x1b[>4m\x1b[<2u\x1b[?7h");
    filter.pass_through(b"\x1b[?7h\x1b[>4;0m\x1b[<u\x1b[<1u", &mut Vec::new());
    assert_eq!(filter.reset_sequence(), b"");
}

/// The shell's prompt would be taken for the rest of it.
#[test]
fn a_sequence_without_an_end_is_broken_off() {
    for begun in ["\x1b", "\x1b[3", "\x1b(", "\x1b]0;title", "\x1bPq\x1b", "\u{9b}"] {
        let mut filter = ReplyFilter::new();
        filter.pass_through(begun.as_bytes(), &mut Vec::new());
        assert_eq!(filter.reset_sequence(), [CAN], "{begun:?}");
    }
}

#[test]
fn a_long_string_is_not_held() {
    let picture =
        [b"\x1bPq".to_vec(), vec![b'~'; 3 * SEQUENCE_MAX], b"\x1b\\end".to_vec()].concat();
    assert_eq!(stripped(&picture), picture);
}

/// Nor any other beginning whose end never comes.
#[test]
fn no_state_holds_without_end() {
    let states: [(&[u8], &[u8]); 8] = [
        (b"\x1b(", b" "),
        (b"\x1b[", b"1;"),
        (b"\x1b]", b"x"),
        (b"\x1b]", b"\xc2"),
        (b"\x1b]", b"\xc2x"),
        (b"\xc2\x9d", b"\xc2"),
        (b"\x1b]", b"\x1b"),
        (b"", b"\xc2"),
    ];
    for (begin, more) in states {
        let bytes = [begin, &more.repeat(3 * SEQUENCE_MAX)].concat();
        let (mut filter, mut out) = (ReplyFilter::new(), Vec::new());
        for byte in &bytes {
            filter.filter_queries(&[*byte], &mut out);
            assert!(filter.held.len() <= SEQUENCE_MAX + 1, "{begin:?} {more:?}");
        }
        filter.pass_through(b"", &mut out);
        assert_eq!(out, bytes, "{begin:?} {more:?}");
    }
}

proptest! {
    #[test]
    fn chunks_make_no_difference(
        bytes in prop::collection::vec(prop::sample::select(b"\x1b[]P?;$0156cnmqtZ\\\x07a\x05\n\xc2\x9b\x9c\xc5\x90".to_vec()), 0..40),
        cut in 0usize..40,
    ) {
        let cut = cut.min(bytes.len());
        let mut filter = ReplyFilter::new();
        let mut out = Vec::new();
        filter.filter_queries(&bytes[..cut], &mut out);
        filter.filter_queries(&bytes[cut..], &mut out);
        prop_assert_eq!(&out, &stripped(&bytes));
        filter.pass_through(b"", &mut out);
        // What passes is all that there is.
        let (mut filter, mut all) = (ReplyFilter::new(), Vec::new());
        filter.pass_through(&bytes[..cut], &mut all);
        filter.pass_through(&bytes[cut..], &mut all);
        prop_assert_eq!(all, bytes);
    }
}
