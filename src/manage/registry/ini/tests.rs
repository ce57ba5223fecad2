use super::*;

fn value(text: &str, key: &str) -> Result<Option<String>, String> {
    Ini::parse(text).unwrap().get("a", key)
}

#[test]
fn values_go_on_in_indented_lines() {
    let text = "[a]\ncommand = x\n  # no\n  y\n\n  z\nuser: me\n";
    assert_eq!(value(text, "command").unwrap().unwrap(), "x\ny\n\nz");
    assert_eq!(value(text, "user").unwrap().unwrap(), "me");
}

#[test]
fn a_single_percent_is_itself() {
    let text = "[DEFAULT]\nTop = /t\n[a]\ncommand = %d %% %(TOP)s/%(x)s\nx = %(top)s\ny = %(y)s\n";
    assert_eq!(value(text, "command").unwrap().unwrap(), "%d % /t//t");
    assert!(value(text, "y").is_err());
    assert!(value("[a]\nx = %(none)s", "x").is_err());
    assert!(value("[a]\nx = %(a", "x").is_err());
}

#[test]
fn references_have_an_end() {
    for last in ["x", ""] {
        let mut text = format!("[a]\nk9 = {last}\n");
        for level in 0..9 {
            text += &format!("k{level} = {}\n", format!("%(k{})s", level + 1).repeat(50));
        }
        let problem = value(&text, "k1").unwrap_err();
        assert!(problem.ends_with(": becomes too long"), "{problem}");
    }
}

#[test]
fn errors_name_their_line() {
    for (text, line) in
        [("x = 1", 1), ("[a]\n\nwords", 3), ("[a]\nx=1\nX=2", 3), ("[a]\n[a]", 2), ("[a]\n=x", 2)]
    {
        assert_eq!(Ini::parse(text).unwrap_err().line, line, "{text}");
    }
}

#[test]
fn what_is_escaped_is_read_as_it_was() {
    let command = "a %d %% %(x)s = : ; # [b]";
    let text = format!("[a]\ncommand = {}", escaped(command).unwrap());
    assert_eq!(value(&text, "command").unwrap().unwrap(), command);
    assert!(escaped(" a").is_err() && escaped("a\nb").is_err());
}
