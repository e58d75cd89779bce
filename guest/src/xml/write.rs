//! Writing XML.

use super::characters::{held, is_qualified_name};

/// Writes a document, element by element, in the order in which it is told to.
///
/// Names are the program's own, `t:Contact`; prefixes are declared as attributes,
/// `("xmlns:t", "http://…")`. Texts and values may be anything: what XML cannot hold becomes a
/// space, for Exchange answers such a request with a bare status 500
/// (<https://github.com/OfficeDev/ews-managed-api/issues/77>).
#[derive(Debug)]
pub struct Writer {
    written: String,
}

impl Writer {
    /// A document with its declaration and nothing else yet.
    #[expect(
        clippy::new_without_default,
        reason = "a default document would be one without a root"
    )]
    pub fn new() -> Self {
        let written = r#"<?xml version="1.0" encoding="utf-8"?>"#.to_owned();
        Self { written }
    }

    /// An element, and in it what `content` writes.
    pub fn element(
        &mut self,
        name: &str,
        attributes: &[(&str, &str)],
        content: impl FnOnce(&mut Self),
    ) {
        self.start(name, attributes);
        self.written.push('>');
        content(self);
        self.written.push_str("</");
        self.written.push_str(name);
        self.written.push('>');
    }

    /// An element with nothing in it.
    pub fn empty(&mut self, name: &str, attributes: &[(&str, &str)]) {
        self.start(name, attributes);
        self.written.push_str("/>");
    }

    /// An element with nothing but text in it.
    pub fn text_element(&mut self, name: &str, attributes: &[(&str, &str)], text: &str) {
        self.element(name, attributes, |writer| writer.text(text));
    }

    /// Text, in the element whose content is being written.
    ///
    /// A carriage return is written as a reference: a reader would take it for the end of a line
    /// and make it a line feed (<https://www.w3.org/TR/xml/#sec-line-ends>).
    pub fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.written.push_str("&amp;"),
                '<' => self.written.push_str("&lt;"),
                // `]]>` may not stand in text (<https://www.w3.org/TR/xml/#syntax>).
                '>' => self.written.push_str("&gt;"),
                '\r' => self.written.push_str("&#xD;"),
                other => self.written.push(held(other)),
            }
        }
    }

    /// The document.
    pub fn finish(self) -> String {
        self.written
    }

    fn start(&mut self, name: &str, attributes: &[(&str, &str)]) {
        debug_assert!(is_qualified_name(name), "`{name}` is no name");
        self.written.push('<');
        self.written.push_str(name);
        for (key, value) in attributes {
            debug_assert!(is_qualified_name(key), "`{key}` is no name");
            self.written.push(' ');
            self.written.push_str(key);
            self.written.push_str("=\"");
            self.value(value);
            self.written.push('"');
        }
    }

    /// A reader makes spaces of the blanks in a value, but not of references to them
    /// (<https://www.w3.org/TR/xml/#AVNormalize>).
    fn value(&mut self, value: &str) {
        for character in value.chars() {
            match character {
                '&' => self.written.push_str("&amp;"),
                '<' => self.written.push_str("&lt;"),
                '"' => self.written.push_str("&quot;"),
                '\t' => self.written.push_str("&#x9;"),
                '\n' => self.written.push_str("&#xA;"),
                '\r' => self.written.push_str("&#xD;"),
                other => self.written.push(held(other)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_written_in_the_order_they_are_told() {
        let mut writer = Writer::new();
        writer.element("t:Contact", &[("xmlns:t", "urn:types")], |writer| {
            writer.text_element("t:Entry", &[("Key", "BusinessPhone")], "+49 30 1");
            writer.empty("t:ItemId", &[("Id", "a\"b"), ("ChangeKey", "<&>")]);
            writer.text("tail");
        });
        let expected = "<?xml version=\"1.0\" encoding=\"utf-8\"?><t:Contact xmlns:t=\"urn:types\">\
                        <t:Entry Key=\"BusinessPhone\">+49 30 1</t:Entry>\
                        <t:ItemId Id=\"a&quot;b\" ChangeKey=\"&lt;&amp;>\"/>tail</t:Contact>";
        assert_eq!(writer.finish(), expected);
    }

    #[test]
    fn text_is_escaped_and_its_lines_stay() {
        let mut writer = Writer::new();
        writer.text_element("a", &[("b", "\t\r\n\u{1}")], "a & <b> ]]>\r\n\tc\0\u{ffff}");
        assert!(
            writer
                .finish()
                .ends_with("<a b=\"&#x9;&#xD;&#xA; \">a &amp; &lt;b&gt; ]]&gt;&#xD;\n\tc  </a>")
        );
    }
}
