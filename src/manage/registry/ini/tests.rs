use super::*;

fn value(text: &str, key: &str) -> Result<Option<String>, String> {
    Ini::parse(text).get("a", key)
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
fn problems_name_their_line() {
    for (text, line) in [("x = 1", 1), ("[a]\n\nwords", 3), ("[a]\n=x", 2)] {
        assert_eq!(Ini::parse(text).problems[0].line, line, "{text}");
    }
}

#[test]
fn what_is_there_twice_is_merged_with_a_warning() {
    let ini = Ini::parse("[a]\nx=1\nX=2\n[b]\n[a]\ny=3\n");
    assert_eq!(ini.get("a", "x").unwrap().unwrap(), "2");
    assert_eq!(ini.get("a", "y").unwrap().unwrap(), "3");
    let lines: Vec<usize> = ini.warnings.iter().map(|warning| warning.line).collect();
    assert_eq!((lines, ini.problems.len()), (vec![3, 5], 0));
}

#[test]
fn a_bad_line_spoils_its_section_only() {
    let ini = Ini::parse("[a]\nx=1\n[b\nx=2\nuser=root\n[c]\nx=3\n");
    assert_eq!(ini.get("a", "x").unwrap().unwrap(), "1");
    assert_eq!(ini.get("a", "user").unwrap(), None);
    assert!(ini.is_spoiled("a") && !ini.is_spoiled("c") && !ini.has_section("b"));
    assert_eq!(ini.problems.len(), 1);
}

#[test]
fn files_are_one_configuration() {
    let mut ini = Ini::parse("[DEFAULT]\nx=1\ny=1\n[b]\nz=%(x)s%(y)s\nk=1\n[a]\n");
    ini.merge(Ini::parse("[c]\n[b]\nk=2\n[DEFAULT]\ny=2\n"));
    assert_eq!(ini.sections().collect::<Vec<_>>(), ["b", "a", "c"]);
    assert_eq!(ini.get("b", "z").unwrap().unwrap(), "12");
    assert_eq!(ini.get("b", "k").unwrap().unwrap(), "2");
    assert_eq!(ini.get("c", "y").unwrap().unwrap(), "2");
}

#[test]
fn what_is_escaped_is_read_as_it_was() {
    let command = "a %d %% %(x)s = : ; # [b]";
    let text = format!("[a]\ncommand = {}", escaped(command).unwrap());
    assert_eq!(value(&text, "command").unwrap().unwrap(), command);
    assert!(escaped(" a").is_err() && escaped("a\nb").is_err());
}
