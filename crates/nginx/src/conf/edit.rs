//! How is a configuration file changed so that every other line stays as it is?
//!
//! [`Edits`] collects changes to one [`Tree`] and applies them at once. A change to a file of
//! several lines adds or takes away whole lines; where directives share a line
//! (`server { listen 80; return 301 …; }`) it adds or takes away only the words.

use std::ops::Range;

use super::tree::{Directive, Tree};

/// Changes to one file, not yet applied.
#[derive(Debug)]
pub struct Edits<'t> {
    tree: &'t Tree,
    splices: Vec<(Range<usize>, Vec<u8>)>,
}

impl<'t> Edits<'t> {
    /// Starts with no change.
    #[must_use]
    pub fn new(tree: &'t Tree) -> Self {
        Edits {
            tree,
            splices: Vec::new(),
        }
    }

    /// Puts a statement first in the block of a directive, with the indentation of the block.
    ///
    /// `comment`, without its `#`, follows it when it has a line of its own. Does nothing to a directive
    /// without a block.
    pub fn insert_first(&mut self, block: Directive<'t>, statement: &str, comment: Option<&str>) {
        let Some(start) = block.block_start() else {
            return;
        };
        match self.line_end_if_blank(start) {
            Some(line_end) => {
                let indent = self.indent_of_block(block);
                self.insert_line(line_end, &indent, statement, comment);
            }
            None => self.splice(start..start, format!(" {statement}")),
        }
    }

    /// Puts a statement after a directive, with the indentation of the directive.
    ///
    /// `comment` as for [`Edits::insert_first`].
    pub fn insert_after(
        &mut self,
        directive: Directive<'t>,
        statement: &str,
        comment: Option<&str>,
    ) {
        let Range { start, end } = directive.span();
        match self.line_end_if_blank(end) {
            Some(line_end) if self.begins_line(start) => {
                let indent = start - self.blanks_before(start)..start;
                let indent = self.tree.source()[indent].to_vec();
                self.insert_line(line_end, &indent, statement, comment);
            }
            _ => self.splice(end..end, format!(" {statement}")),
        }
    }

    /// Gives a directive these arguments in place of its own.
    pub fn replace_arguments(&mut self, directive: Directive<'t>, arguments: &[&[u8]]) {
        let quoted: Vec<Vec<u8>> = arguments.iter().map(|argument| quoted(argument)).collect();
        let text = quoted.join(&b' ');
        let spans: Vec<Range<usize>> = directive.argument_spans().collect();
        if let (Some(first), Some(last)) = (spans.first(), spans.last()) {
            self.splices.push((first.start..last.end, text));
        } else {
            let end = directive.name_span().end;
            self.splices.push((end..end, [b" ", &text[..]].concat()));
        }
    }

    /// Takes a directive away, and its line with it when nothing else stands there.
    pub fn remove(&mut self, directive: Directive<'t>) {
        let Range { start, end } = directive.span();
        let span = match self.line_end_if_blank(end) {
            Some(line_end) if self.begins_line(start) => {
                start - self.blanks_before(start)..line_end
            }
            _ => start - self.blanks_before(start)..end,
        };
        self.splices.push((span, Vec::new()));
    }

    /// Says whether there is any change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.splices.is_empty()
    }

    /// Returns the file with all changes made.
    #[must_use]
    pub fn apply(mut self) -> Vec<u8> {
        // A stable sort: what was asked for first stands first at the same place.
        self.splices.sort_by_key(|(span, _)| (span.start, span.end));
        let source = self.tree.source();
        let mut changed = Vec::with_capacity(source.len() + 256);
        let mut at = 0;
        for (span, text) in self.splices {
            if span.start >= at {
                changed.extend_from_slice(&source[at..span.start]);
                changed.extend(text);
                at = span.end;
            }
        }
        changed.extend_from_slice(&source[at..]);
        changed
    }

    fn splice(&mut self, span: Range<usize>, text: String) {
        self.splices.push((span, text.into_bytes()));
    }

    fn insert_line(&mut self, at: usize, indent: &[u8], statement: &str, comment: Option<&str>) {
        let source = self.tree.source();
        let end_of_line: &[u8] = if source[..at].ends_with(b"\r\n") {
            b"\r\n"
        } else {
            b"\n"
        };
        let mut line = Vec::new();
        if at > 0 && source[at - 1] != b'\n' {
            line.extend_from_slice(end_of_line); // the last line of the file is not ended
        }
        line.extend_from_slice(indent);
        line.extend_from_slice(statement.as_bytes());
        if let Some(comment) = comment {
            line.extend_from_slice(b" # ");
            line.extend_from_slice(comment.as_bytes());
        }
        line.extend_from_slice(end_of_line);
        self.splices.push((at..at, line));
    }

    /// Returns the start of the next line, when only blanks and a comment stand between.
    fn line_end_if_blank(&self, at: usize) -> Option<usize> {
        // No further than needed: a file of one long line would be read anew for each of its directives.
        let rest = &self.tree.source()[at..];
        let is_end = |b: &u8| *b == b'\n';
        let blanks = rest
            .iter()
            .position(|b| is_end(b) || !b.is_ascii_whitespace());
        let blanks = blanks.unwrap_or(rest.len());
        match rest.get(blanks) {
            None | Some(b'\n' | b'#') => {
                let length = rest[blanks..].iter().position(is_end);
                Some(length.map_or(at + rest.len(), |length| at + blanks + length + 1))
            }
            Some(_) => None,
        }
    }

    fn begins_line(&self, at: usize) -> bool {
        let begin = at - self.blanks_before(at);
        begin == 0 || self.tree.source()[begin - 1] == b'\n'
    }

    fn line_start(&self, at: usize) -> usize {
        let before = &self.tree.source()[..at];
        before
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |end| end + 1)
    }

    fn blanks_before(&self, at: usize) -> usize {
        let before = self.tree.source()[..at].iter().rev();
        before.take_while(|b| matches!(b, b' ' | b'\t')).count()
    }

    /// Returns the indentation of the first directive with a line of its own, or one step more than the block's.
    fn indent_of_block(&self, block: Directive<'t>) -> Vec<u8> {
        let source = self.tree.source();
        let inside = block.block().map(|directive| directive.span().start);
        if let Some(start) = inside.into_iter().find(|&start| self.begins_line(start)) {
            return source[start - self.blanks_before(start)..start].to_vec();
        }
        let line_start = self.line_start(block.span().start);
        let outer = source[line_start..]
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t'));
        let mut indent: Vec<u8> = outer.copied().collect();
        let step: &[u8] = if indent.contains(&b'\t') {
            b"\t"
        } else {
            b"    "
        };
        indent.extend_from_slice(step);
        indent
    }
}

/// Returns a value as it must stand in a file to be read as that value.
#[must_use]
pub fn quoted(value: &[u8]) -> Vec<u8> {
    let special = |b: &u8| b.is_ascii_whitespace() || b";{}\"'\\#".contains(b);
    if !value.is_empty() && !value.iter().any(special) {
        return value.to_vec();
    }
    let mut text = vec![b'"'];
    for &byte in value {
        if matches!(byte, b'"' | b'\\') {
            text.push(b'\\');
        }
        text.push(byte);
    }
    text.push(b'"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};

    #[track_caller]
    fn check(file: &str, edit: impl for<'t> Fn(&mut Edits<'t>, &'t Tree), expected: &Expect) {
        let tree = Tree::parse(file.as_bytes().to_vec()).unwrap();
        let mut edits = Edits::new(&tree);
        edit(&mut edits, &tree);
        let changed = edits.apply();
        Tree::parse(changed.clone()).expect("an edited file is still a configuration");
        expected.assert_eq(&String::from_utf8(changed).unwrap());
    }

    fn named<'t>(tree: &'t Tree, name: &str) -> Directive<'t> {
        tree.all().find(|directive| directive.is(name)).unwrap()
    }

    fn first<'t>(edits: &mut Edits<'t>, tree: &'t Tree) {
        edits.insert_first(named(tree, "server"), "deny all;", Some("ours"));
    }

    #[test]
    fn the_first_statement_takes_the_indentation_of_the_block() {
        check(
            "server {\n  listen 80;\n}\n",
            first,
            &expect![[r#"
            server {
              deny all; # ours
              listen 80;
            }
        "#]],
        );
        check(
            "http {\n\tserver { # main\n\t}\n}",
            first,
            &expect![[r#"
            http {
            	server { # main
            		deny all; # ours
            	}
            }"#]],
        );
        check(
            "server\n{\n  # listens\n\n      listen 80;\n}\n",
            first,
            &expect![[r#"
            server
            {
                  deny all; # ours
              # listens

                  listen 80;
            }
        "#]],
        );
    }

    #[test]
    fn the_first_statement_of_a_block_on_one_line_stays_on_it() {
        check(
            "server { listen 80; return 301 /x; }\n",
            first,
            &expect![[r#"
            server { deny all; listen 80; return 301 /x; }
        "#]],
        );
        check("server {}", first, &expect!["server { deny all;}"]);
        check(
            "server { listen 80;\n listen 81; }",
            first,
            &expect![[r#"
            server { deny all; listen 80;
             listen 81; }"#]],
        );
    }

    #[test]
    fn line_ends_of_windows_stay() {
        check(
            "server {\r\n  listen 80;\r\n}\r\n",
            first,
            &expect!["server {\r\n  deny all; # ours\r\n  listen 80;\r\n}\r\n"],
        );
    }

    #[test]
    fn arguments_are_replaced_where_they_stand() {
        fn replace<'t>(edits: &mut Edits<'t>, tree: &'t Tree) {
            edits.replace_arguments(named(tree, "root"), &[b"/a b", b"c"]);
        }
        check(
            "root  '/old'  # kept\n ;",
            replace,
            &expect![[r#"
            root  "/a b" c  # kept
             ;"#]],
        );
        check("root;", replace, &expect![[r#"root "/a b" c;"#]]);
    }

    #[test]
    fn a_line_is_inserted_after_a_directive() {
        fn after<'t>(edits: &mut Edits<'t>, tree: &'t Tree) {
            edits.insert_after(named(tree, "listen"), "listen 443 ssl;", None);
        }
        check(
            "server {\n    listen 80; # http\n\n    root /x;\n}\n",
            after,
            &expect![[r#"
            server {
                listen 80; # http
                listen 443 ssl;

                root /x;
            }
        "#]],
        );
        check(
            "server { listen 80; root /x; }",
            after,
            &expect!["server { listen 80; listen 443 ssl; root /x; }"],
        );
        check(
            "listen 80;",
            after,
            &expect![[r#"
            listen 80;
            listen 443 ssl;
        "#]],
        );
    }

    #[test]
    fn a_directive_goes_with_its_line() {
        fn remove<'t>(edits: &mut Edits<'t>, tree: &'t Tree) {
            edits.remove(named(tree, "if"));
        }
        check(
            "server {\n  if ($a) { return 200; } # ours\n  listen 80;\n}\n",
            remove,
            &expect![[r#"
            server {
              listen 80;
            }
        "#]],
        );
        check(
            "server { if ($a) { return 200; } listen 80; }",
            remove,
            &expect!["server { listen 80; }"],
        );
    }

    #[test]
    fn what_was_inserted_can_be_taken_away_without_a_trace() {
        for file in [
            "server {\n  listen 80;\n}\n",
            "server { listen 80; }",
            "server{listen 80;}",
            "server {}",
        ] {
            let tree = Tree::parse(file.into()).unwrap();
            let mut edits = Edits::new(&tree);
            first(&mut edits, &tree);
            let changed = Tree::parse(edits.apply()).unwrap();
            let mut edits = Edits::new(&changed);
            edits.remove(named(&changed, "deny"));
            assert_eq!(String::from_utf8(edits.apply()).unwrap(), file);
        }
    }

    #[test]
    fn several_changes_are_made_at_once() {
        fn all<'t>(edits: &mut Edits<'t>, tree: &'t Tree) {
            edits.remove(named(tree, "b"));
            edits.replace_arguments(named(tree, "a"), &[b"2"]);
            edits.insert_after(named(tree, "a"), "x;", None);
            edits.insert_after(named(tree, "a"), "y;", None);
        }
        check(
            "a 1;\nb;\nc;\n",
            all,
            &expect![[r#"
            a 2;
            x;
            y;
            c;
        "#]],
        );
    }

    #[test]
    fn a_quoted_value_reads_as_itself() {
        for value in [
            "/plain",
            "",
            "a b",
            r#"say "x""#,
            r"back\slash\n",
            "a;b{c}d",
            "#x",
            "it's",
        ] {
            let file = [b"x ", &quoted(value.as_bytes())[..], b";"].concat();
            let tree = Tree::parse(file).unwrap();
            let read = tree.directives().next().unwrap().argument().unwrap();
            assert_eq!(read, value.as_bytes());
        }
    }
}
