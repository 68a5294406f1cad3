//! TwiML as a carrier reads it: the verbs of a document, their attributes, text and nouns.
//!
//! As much XML as such documents have: elements, attributes, text, the five entities, one declaration. What else XML
//! knows is refused, and so is what nests deeper than a noun in a verb.

/// Verbs and nouns read of one document.
const MAX_ELEMENTS: usize = 64;

/// A verb, or a noun inside one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) text: String,
    pub(super) nouns: Vec<Element>,
}

impl Element {
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.attribute(name)?.parse().ok()
    }
}

/// The verbs of a document; none if it is no TwiML.
pub(super) fn parse(document: &str) -> Option<Vec<Element>> {
    let mut rest = document.trim();
    if let Some(after) = rest.strip_prefix("<?xml") {
        rest = after.split_once("?>")?.1.trim_start();
    }
    // The open elements: `Response`, a verb, a noun.
    let mut open: Vec<Element> = Vec::new();
    let mut elements = 0;
    loop {
        let (text, tag) = rest.split_once('<')?;
        match open.last_mut() {
            Some(element) => element.text.push_str(&unescaped(text)?),
            None if text.trim().is_empty() => {}
            None => return None,
        }
        if let Some(closing) = tag.strip_prefix('/') {
            let (name, after) = closing.split_once('>')?;
            let element = open.pop().filter(|element| element.name == name.trim_end())?;
            match open.last_mut() {
                Some(parent) => parent.nouns.push(element),
                None => {
                    return (after.trim().is_empty() && element.name == "Response").then_some(element.nouns);
                }
            }
            rest = after;
            continue;
        }
        elements += 1;
        if elements > MAX_ELEMENTS || open.len() > 2 {
            return None;
        }
        let (element, is_whole, after) = start_tag(tag)?;
        match (is_whole, open.last_mut()) {
            (false, _) => open.push(element),
            (true, Some(parent)) => parent.nouns.push(element),
            (true, None) => {
                return (after.trim().is_empty() && element.name == "Response").then(Vec::new);
            }
        }
        rest = after;
    }
}

/// Name and attributes, whether it is closed at once, and what follows.
fn start_tag(tag: &str) -> Option<(Element, bool, &str)> {
    let end = tag.find(|letter: char| !letter.is_ascii_alphanumeric())?;
    let (name, mut rest) = tag.split_at(end);
    let mut element = Element { name: name.to_owned(), ..Element::default() };
    if name.is_empty() {
        return None;
    }
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix("/>") {
            return Some((element, true, after));
        }
        if let Some(after) = rest.strip_prefix('>') {
            return Some((element, false, after));
        }
        let (name, after) = rest.split_once('=')?;
        let quote = after.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
        let (value, after) = after[1..].split_once(quote)?;
        if name.contains(['<', '>', '/']) || value.contains('<') {
            return None;
        }
        element.attributes.push((name.trim().to_owned(), unescaped(value)?));
        rest = after;
    }
}

fn unescaped(text: &str) -> Option<String> {
    const ENTITIES: [(&str, char); 5] =
        [("amp;", '&'), ("lt;", '<'), ("gt;", '>'), ("quot;", '"'), ("apos;", '\'')];
    let mut parts = text.split('&');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let (entity, letter) = ENTITIES.iter().find(|(entity, _)| part.starts_with(entity))?;
        out.push(*letter);
        out.push_str(&part[entity.len()..]);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_to_verbs_and_nouns() {
        let document = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Say>Q &amp; A</Say>\n\
            <Dial action='http://a/b?c=1&amp;d=2' timeout=\"15\"><Number statusCallback=\"http://a/leg\">+15125550900\
            </Number></Dial><Hangup/></Response>\n";
        let verbs = parse(document).unwrap();
        let names: Vec<&str> = verbs.iter().map(|verb| verb.name.as_str()).collect();
        assert_eq!((names, verbs[0].text.as_str()), (vec!["Say", "Dial", "Hangup"], "Q & A"));
        let dial = &verbs[1];
        assert_eq!(
            (dial.attribute("action"), dial.number("timeout"), dial.attribute("none")),
            (Some("http://a/b?c=1&d=2"), Some(15), None)
        );
        assert_eq!((dial.nouns[0].name.as_str(), dial.nouns[0].text.as_str()), ("Number", "+15125550900"));
        assert_eq!(parse("<Response></Response>"), Some(Vec::new()));
        assert_eq!(parse("<Response/>"), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_twiml_is_refused() {
        let deep = "<Response><Dial><Number><X><Y/></X></Number></Dial></Response>";
        let long = format!("<Response>{}</Response>", "<Hangup/>".repeat(MAX_ELEMENTS));
        let table = [
            "",
            "text",
            "<html></html>",
            "<Response>",
            "<Response></Respons>",
            "<Response>a &nbsp; b</Response>",
            "<Response><Dial timeout=15/></Response>",
            "<Response><Dial></Response></Dial>",
            "<Response/><Response/>",
            "<Response><!-- x --></Response>",
            "<Response><Say attr=\"<\"/></Response>",
            deep,
            &long,
        ];
        for document in table {
            assert_eq!(parse(document), None, "{document}");
        }
    }
}
