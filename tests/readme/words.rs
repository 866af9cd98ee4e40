//! The words of the project: no covered text contains a phrase that tests/readme/words.yaml bans.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use proc_macro2::{TokenStream, TokenTree};
use serde::Deserialize;
use serde_json::Value;
use syn::{
    LitStr,
    visit::{self, Visit},
};

use crate::document::{files, read, root};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    /// Each banned phrase and its replacement.
    phrases: BTreeMap<String, String>,
    openers: Vec<String>,
    /// Further phrases and openers for comments of code.
    code_phrases: BTreeMap<String, String>,
    code_openers: Vec<String>,
    covered: Covered,
    not_yet: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Covered {
    markdown: Vec<String>,
    comments: Vec<String>,
    texts: Vec<String>,
    descriptions: Vec<String>,
    code: Vec<String>,
    strings: Vec<String>,
}

/// A paragraph, list item, heading, table cell, comment or description, without code.
struct Passage {
    line: usize,
    text: String,
}

/// Reads the passages of a file.
type Reader = fn(&str) -> Vec<Passage>;

fn words() -> Words {
    serde_saphyr::from_str(&read("tests/readme/words.yaml")).unwrap()
}

#[test]
fn no_covered_text_contains_a_banned_phrase() {
    let words = words();
    let found = words.search();
    let new = found.iter().filter(|(file, _)| !words.not_yet.contains(*file)).flat_map(|(_, faults)| faults);
    let new: Vec<_> = new.map(String::as_str).collect();
    assert!(new.is_empty(), "{} banned phrases:\n{}", new.len(), new.join("\n"));
    for file in &words.not_yet {
        assert!(found.contains_key(file), "{file} has no banned phrase any more: remove it from not_yet in words.yaml");
    }
}

#[test]
fn phrases_and_openers_are_found_in_every_kind_of_text() {
    let words = words();
    let markdown = "# Title\n\nA person is\nasked. `told` [told](told.md) is fine.\n```sh\ntold\n```\n\n| What it is | Told |\n| --- | --- |\n- That is so. Is that so? What is it? How long to wait.\n";
    let faults = words.faults("a.md", &markdown_passages(markdown));
    let wanted = [
        "a.md:3: \"asked\": write requested, fetched",
        "a.md:3: \"told\": write reported, logged, shown",
        "a.md:9: a sentence starts with \"what\"",
        "a.md:9: \"told\": write reported, logged, shown",
        "a.md:11: a sentence starts with \"that\"",
    ];
    assert_eq!(faults, wanted);
    let comments = "key: told # told\n# A list\n# that is asked for.\nother: 1\n{{- /* told */}}\n";
    assert_eq!(words.faults("a.yaml", &comment_passages(comments)).len(), 4);
    let code = "//! Whose\n//! turn it is,\n//! as told.\n\n/// Which `told` is code.\nlet told = 1; // told\n/// ```\n/// told\n/// ```\n";
    let faults = ["a.rs:1: \"told\": write reported, logged, shown", "a.rs:5: a sentence starts with \"which\""];
    assert_eq!(words.faults("a.rs", &code_passages(code)), faults);
    let code = "#[arg(help = \"as was told before\")] struct A; // told\nfn f() {\n    warn!(told, \"it was told so {told}\");\n    g(\"Whoever reads all this\", \"told\", \"`told` is code here\");\n}\n#[cfg(test)]\nmod tests { const A: &str = \"it was told so\"; }\n";
    let faults = [
        "a.rs:1: \"told\": write reported, logged, shown",
        "a.rs:3: \"told\": write reported, logged, shown",
        "a.rs:4: a sentence starts with \"whoever\"",
        "a.rs:4: \"whoever\": write a user who",
    ];
    assert_eq!(words.faults("a.rs", &string_passages(code)), faults);
    let definition = "spec:\n  description: told\n  properties: {description: {type: string, description: Whoever}}\n";
    assert_eq!(words.faults("a.yaml", &descriptions(definition)).len(), 3);
}

impl Words {
    /// The faults of each covered file that has some.
    fn search(&self) -> BTreeMap<String, Vec<String>> {
        let kinds: [(_, &[&str], Reader); 6] = [
            (&self.covered.markdown, &["md"], markdown_passages),
            (&self.covered.comments, &["yaml", "yml", "tpl"], comment_passages),
            (&self.covered.texts, &["txt"], markdown_passages),
            (&self.covered.descriptions, &["yaml"], descriptions),
            (&self.covered.code, &["rs"], code_passages),
            (&self.covered.strings, &["rs"], string_passages),
        ];
        let mut found = BTreeMap::new();
        for (paths, extensions, passages) in kinds {
            for path in paths {
                let is_folder = root().join(path).is_dir();
                let files = if is_folder { files(path, extensions) } else { vec![path.clone()] };
                assert!(!files.is_empty(), "words.yaml covers {path}, which has no such file");
                for file in files.into_iter().filter(|file| paths != &self.covered.strings || !is_for_tests(file)) {
                    let faults = self.faults(&file, &passages(&read(&file)));
                    if !faults.is_empty() {
                        found.entry(file).or_insert_with(Vec::new).extend(faults);
                    }
                }
            }
        }
        found
    }

    fn faults(&self, file: &str, passages: &[Passage]) -> Vec<String> {
        let is_code = Path::new(file).extension().is_some_and(|extension| extension == "rs");
        let openers: Vec<_> = self.openers.iter().chain(self.code_openers.iter().filter(|_| is_code)).collect();
        let phrases: Vec<_> = self.phrases.iter().chain(self.code_phrases.iter().filter(|_| is_code)).collect();
        let mut faults = Vec::new();
        for Passage { line, text } in passages {
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
            for sentence in sentences(&text) {
                let is_question = sentence.ends_with('?');
                for opener in openers.iter().filter(|_| !is_question) {
                    // "How long to wait" is a noun phrase.
                    if starts_with_word(sentence, opener) && !starts_with_word(sentence, &format!("{opener} to")) {
                        faults.push(format!("{file}:{line}: a sentence starts with {opener:?}"));
                    }
                }
            }
            for (phrase, instead) in &phrases {
                if contains_words(&text, phrase) {
                    faults.push(format!("{file}:{line}: {phrase:?}: write {instead}"));
                }
            }
        }
        faults
    }
}

/// The sentences of a text, each with its final sign. Text after a colon or semicolon is a separate sentence.
fn sentences(text: &str) -> Vec<&str> {
    let mut sentences = Vec::new();
    let mut start = 0;
    for (at, sign) in text.char_indices() {
        let ends = ['.', '?', '!', ':', ';'].contains(&sign) && text[at + 1..].starts_with(' ');
        if ends || at + sign.len_utf8() == text.len() {
            sentences.push(text[start..at + sign.len_utf8()].trim_start_matches([' ', '*', '(', '"']));
            start = at + sign.len_utf8();
        }
    }
    sentences
}

fn starts_with_word(text: &str, word: &str) -> bool {
    text.strip_prefix(word).is_some_and(|rest| !rest.starts_with(is_inside_a_word))
}

fn contains_words(text: &str, phrase: &str) -> bool {
    text.match_indices(phrase)
        .any(|(at, _)| !text[..at].ends_with(is_inside_a_word) && starts_with_word(&text[at..], phrase))
}

fn is_inside_a_word(sign: char) -> bool {
    sign.is_alphanumeric() || ['-', '_'].contains(&sign)
}

/// The passages of a Markdown document: code and the targets of links are left out.
fn markdown_passages(document: &str) -> Vec<Passage> {
    let mut passages: Vec<Passage> = Vec::new();
    let (mut in_code, mut continues) = (false, false);
    for (number, line) in document.lines().enumerate() {
        let text = line.trim();
        if text.starts_with("```") {
            in_code = !in_code;
            continues = false;
            continue;
        }
        if in_code || text.is_empty() || text.starts_with("<!--") {
            continues = false;
            continue;
        }
        let prose = without_code(text);
        let item = prose.strip_prefix("- ").or(prose.strip_prefix("* ")).map(str::to_owned);
        if let Some(cells) = prose.strip_prefix('|') {
            passages.extend(cells.split('|').map(|cell| Passage { line: number + 1, text: cell.trim().to_owned() }));
            continues = false;
        } else if let Some(item) = item {
            passages.push(Passage { line: number + 1, text: item });
            continues = true;
        } else if text.starts_with('#') {
            passages.push(Passage { line: number + 1, text: prose.trim_start_matches(['#', ' ']).to_owned() });
            continues = false;
        } else if let Some(open) = passages.last_mut().filter(|_| continues) {
            open.text.push(' ');
            open.text.push_str(&prose);
        } else {
            let prose = prose.trim_start_matches(|sign: char| sign.is_ascii_digit()).trim_start_matches(". ");
            passages.push(Passage { line: number + 1, text: prose.to_owned() });
            continues = true;
        }
    }
    passages
}

/// The text without code spans and without the targets of links.
fn without_code(text: &str) -> String {
    let text: String =
        text.split('`').enumerate().map(|(index, part)| if index % 2 == 0 { part } else { "code" }).collect();
    let mut parts = text.split("](");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.split_once(')').map_or(part, |(_, rest)| rest));
    rest.fold(first, |text, part| text + part).replace(['[', ']'], "")
}

/// The comments of YAML and of chart templates. Neighbouring lines are one passage.
fn comment_passages(file: &str) -> Vec<Passage> {
    let mut passages: Vec<Passage> = Vec::new();
    let mut continues = false;
    for (number, line) in file.lines().enumerate() {
        let own = line.trim().strip_prefix('#');
        let trailing = line.split_once(" # ").map(|(_, comment)| comment);
        let template = line.split_once("/*").map(|(_, rest)| rest.split("*/").next().unwrap_or_default());
        let Some(comment) = own.or(template).or(trailing) else {
            continues = false;
            continue;
        };
        let comment = without_code(comment.trim());
        match passages.last_mut().filter(|_| continues && own.is_some()) {
            Some(open) => {
                open.text.push(' ');
                open.text.push_str(&comment);
            }
            None => passages.push(Passage { line: number + 1, text: comment }),
        }
        continues = own.is_some();
    }
    passages
}

/// The comments of Rust code that fill whole lines, without examples. A blank line, a list item or a heading starts a passage.
fn code_passages(file: &str) -> Vec<Passage> {
    let mut passages: Vec<Passage> = Vec::new();
    let (mut in_example, mut continues) = (false, false);
    for (number, line) in file.lines().enumerate() {
        let Some(comment) = line.trim().strip_prefix("//") else {
            (in_example, continues) = (false, false);
            continue;
        };
        let comment = comment.trim_start_matches(['/', '!']).trim();
        if comment.starts_with("```") {
            (in_example, continues) = (!in_example, false);
        } else if in_example || comment.is_empty() {
            continues = false;
        } else if let Some(open) = passages.last_mut().filter(|_| continues && !comment.starts_with(['-', '#'])) {
            open.text.push(' ');
            open.text.push_str(comment);
        } else {
            passages.push(Passage { line: number + 1, text: comment.trim_start_matches(['-', '#', ' ']).to_owned() });
            continues = !comment.starts_with('#');
        }
    }
    passages.into_iter().map(|Passage { line, text }| Passage { line, text: without_code(&text) }).collect()
}

/// Returns true if a file of code, or a module that contains it, is compiled only for tests.
fn is_for_tests(file: &str) -> bool {
    let mut module = Path::new(file).with_extension("");
    while let (Some(folder), Some(name)) = (module.parent().map(Path::to_owned), module.file_name()) {
        let declared = format!("#[cfg(test)]\nmod {};", name.display());
        let parents = [folder.with_extension("rs"), folder.join("mod.rs"), folder.join("lib.rs")];
        let parents = parents.iter().filter(|parent| root().join(parent).is_file());
        if parents.into_iter().any(|parent| read(parent.to_str().unwrap()).contains(&declared)) {
            return true;
        }
        module = folder;
    }
    false
}

/// The texts of several words in Rust code, except in tests and documentation: they can reach a user.
fn string_passages(file: &str) -> Vec<Passage> {
    #[derive(Default)]
    struct Strings(Vec<Passage>);

    impl Strings {
        fn add(&mut self, literal: &LitStr) {
            let text = without_code(&literal.value());
            let words = text.split(' ').filter(|word| word.len() > 1 && word.chars().all(char::is_alphabetic));
            if words.count() > 2 {
                self.0.push(Passage { line: literal.span().start().line, text });
            }
        }

        /// Adds the texts in unparsed tokens: the arguments of macros and attributes.
        fn tokens(&mut self, tokens: TokenStream) {
            for token in tokens {
                match token {
                    TokenTree::Group(group) => self.tokens(group.stream()),
                    TokenTree::Literal(literal) => {
                        if let syn::Lit::Str(literal) = syn::Lit::new(literal) {
                            self.add(&literal);
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    impl<'ast> Visit<'ast> for Strings {
        fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
            let is_test = |attribute: &syn::Attribute| matches!(&attribute.meta, syn::Meta::List(list) if list.path.is_ident("cfg") && list.tokens.to_string() == "test");
            if !module.attrs.iter().any(is_test) {
                visit::visit_item_mod(self, module);
            }
        }

        fn visit_lit_str(&mut self, literal: &'ast LitStr) {
            self.add(literal);
        }

        fn visit_macro(&mut self, called: &'ast syn::Macro) {
            self.tokens(called.tokens.clone());
        }

        fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
            match &attribute.meta {
                syn::Meta::List(list) => self.tokens(list.tokens.clone()),
                syn::Meta::NameValue(pair) if !pair.path.is_ident("doc") => visit::visit_expr(self, &pair.value),
                _ => {}
            }
        }
    }

    let mut strings = Strings::default();
    strings.visit_file(&syn::parse_file(file).unwrap());
    strings.0
}

/// All descriptions in a definition. Their lines are unknown.
fn descriptions(file: &str) -> Vec<Passage> {
    fn gather(value: &Value, passages: &mut Vec<Passage>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match value {
                        Value::String(text) if name == "description" => {
                            passages.push(Passage { line: 0, text: without_code(text) });
                        }
                        value => gather(value, passages),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| gather(item, passages)),
            _ => {}
        }
    }
    let mut passages = Vec::new();
    gather(&serde_saphyr::from_str(file).unwrap(), &mut passages);
    passages
}
