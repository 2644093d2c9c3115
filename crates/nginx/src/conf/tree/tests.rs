//! Files of a few lines, and what is read from them.

use super::*;
use expect_test::{Expect, expect};

/// Shows the directives with their lines, one level of indentation per block.
fn shown(directives: Directives<'_>, depth: usize, out: &mut String) {
    for directive in directives {
        let words: Vec<String> = std::iter::once(directive.name())
            .chain(directive.arguments())
            .map(|word| format!("<{}>", word.escape_ascii()))
            .collect();
        let block = if directive.has_block() { " {}" } else { "" };
        let indent = "  ".repeat(depth);
        out.push_str(&format!(
            "{indent}{} {}{block}\n",
            directive.line(),
            words.join(" ")
        ));
        shown(directive.block(), depth + 1, out);
    }
}

#[track_caller]
fn check(file: impl AsRef<[u8]>, expected: &Expect) {
    let file = file.as_ref();
    let actual = match Tree::parse(file.to_vec()) {
        Ok(tree) => {
            let mut out = String::new();
            shown(tree.directives(), 0, &mut out);
            out
        }
        Err(fault) => fault.to_string(),
    };
    expected.assert_eq(&actual);
}

#[test]
fn directives_have_names_arguments_and_blocks() {
    check(
        "a;\nserver {\n listen 80; # x\n location / { }\n}\nb 1 2\n 3;",
        &expect![[r#"
        1 <a>
        2 <server> {}
          3 <listen> <80>
          4 <location> </> {}
        6 <b> <1> <2> <3>
    "#]],
    );
}

#[test]
fn quotes_and_escapes_are_resolved_as_nginx_does() {
    check(
        r#"a "b c" 'd "e' "f\"g" h\ i j\;k l\{ m\tn "\t\q\\";"#,
        &expect![[r#"
        1 <a> <b c> <d \"e> <f\"g> <h\\ i> <j\\;k> <l\\{> <m\tn> <\t\\q\\>
    "#]],
    );
    check(
        r#"a "x;y{z}#" '' "";"#,
        &expect![[r#"
        1 <a> <x;y{z}#> <> <>
    "#]],
    );
    check(
        r#""listen" 80; li\sten 80;"#,
        &expect![[r#"
        1 <listen> <80>
        1 <li\\sten> <80>
    "#]],
    );
}

#[test]
fn special_bytes_inside_words_are_plain() {
    check(
        "a b#c d}e f\"g h'i a$b;",
        &expect![[r#"
        1 <a> <b#c> <d}e> <f\"g> <h\'i> <a$b>
    "#]],
    );
    check(
        "a ${b}c x${d}{ e; }",
        &expect![[r#"
        1 <a> <${b}c> <x${d}> {}
          1 <e>
    "#]],
    );
    check(
        "a $b{ c; }",
        &expect![[r#"
        1 <a> <$b> {}
          1 <c>
    "#]],
    );
    check(
        "a $${{x};",
        &expect![[r#"
        1 <a> <$${{x}>
    "#]],
    );
    check(
        "a \\${ b; }",
        &expect![[r#"
        1 <a> <\\$> {}
          1 <b>
    "#]],
    );
}

#[test]
fn a_parenthesis_may_follow_a_quote() {
    check(
        r#"if ($a = "b") { c; }"#,
        &expect![[r#"
        1 <if> <($a> <=> <b> <)> {}
          1 <c>
    "#]],
    );
    check(
        r#"a ("b"c);"#,
        &expect![[r#"
        1 <a> <(\"b\"c)>
    "#]],
    );
    check(r#"a "b"c;"#, &expect![[r#"unexpected "c" in line 1"#]]);
}

#[test]
fn bytes_that_are_no_utf8_are_kept() {
    check(
        b"a \xff\xfe \"\xc3\x28\";\x00b;",
        &expect![[r#"
        1 <a> <\xff\xfe> <\xc3(>
        1 <\x00b>
    "#]],
    );
}

#[test]
fn lua_is_passed_over() {
    check(
        "content_by_lua_block {\n s = \"}\" -- }\n t = {a={}}\n}\nb;",
        &expect![[r#"
        1 <content_by_lua_block> {}
        5 <b>
    "#]],
    );
    check(
        "set_by_lua_block $x {\n if x {\n",
        &expect![[r#"unexpected end of file, expecting "}" in line 3"#]],
    );
}

#[test]
fn unbalanced_braces_are_said_as_nginx_says_them() {
    check(
        "server {\n listen 80;\n",
        &expect![[r#"unexpected end of file, expecting "}" in line 3"#]],
    );
    check(
        "server {\n listen 80;\n}\n}\n",
        &expect![[r#"unexpected "}" in line 4"#]],
    );
    check(
        "server {\n listen 80\n}\n",
        &expect![[r#"unexpected "}" in line 3"#]],
    );
    check("{ }", &expect![[r#"unexpected "{" in line 1"#]]);
    check(";", &expect![[r#"unexpected ";" in line 1"#]]);
}

#[test]
fn an_end_in_the_middle_is_said() {
    check(
        "server {\n listen 80",
        &expect![[r#"unexpected end of file, expecting ";" or "}" in line 2"#]],
    );
    check(
        "a \"b\n;",
        &expect![[r#"unexpected end of file, expecting ";" or "}" in line 2"#]],
    );
    check(
        "a \\",
        &expect![[r#"unexpected end of file, expecting ";" or "}" in line 1"#]],
    );
    check(
        "a\n# comment",
        &expect![[r#"unexpected end of file, expecting ";" or "}" in line 2"#]],
    );
}

#[test]
fn a_forgotten_semicolon_or_brace_is_noticed_where_it_happens() {
    check(
        "server {\n listen 80\n location / { }\n}",
        &expect![[r#"directive "listen" is not terminated by ";" in line 3"#]],
    );
    check(
        "server {\n location /;\n}",
        &expect![[r#"directive "location" has no opening "{" in line 2"#]],
    );
    check(
        "map $a $b { server 1; location 2; }\nupstream u { server 127.0.0.1; }",
        &expect![[r#"
        1 <map> <$a> <$b> {}
          1 <server> <1>
          1 <location> <2>
        2 <upstream> <u> {}
          2 <server> <127.0.0.1>
    "#]],
    );
}

#[test]
fn what_outgrows_the_buffer_of_nginx_is_refused() {
    assert!(Tree::parse(format!("a {};", "b".repeat(4095)).into()).is_ok());
    check(
        format!("a\n {};", "b".repeat(4096)),
        &expect![[r#"too long parameter "bbbbbbbbbb..." started in line 2"#]],
    );
    check(
        format!("a\n '{};", "b\n".repeat(4096)),
        &expect![[r#"too long parameter, probably missing terminating "'" character in line 2"#]],
    );
    check(
        format!("\n#{}\n", "b".repeat(4096)),
        &expect![[r##"too long parameter "#bbbbbbbbb..." started in line 2"##]],
    );
    check(format!("#{}", "b".repeat(4000)), &expect![]);
}

#[test]
fn hostile_sizes_are_refused() {
    check(
        "a{".repeat(10_000),
        &expect!["blocks are nested more than 200 deep in line 1"],
    );
    check(
        vec![b' '; MAX_FILE + 1],
        &expect!["the file is larger than 16 MB in line 1"],
    );
}
