//! Rules for Rust sources: sizes of files and functions, numbers of parameters, a module doc.
//!
//! Bodies of macro calls are opaque to the parser, so functions written inside one count for the
//! file's size only.

use std::collections::BTreeSet;

use syn::spanned::Spanned;
use syn::visit::Visit;

use crate::Violation;
use crate::rules::{MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_PARAMETERS};
use crate::workspace::TextFile;

/// Checks Rust sources, except those that are excused; a needless excuse is a violation too.
#[must_use]
pub fn check_sizes(files: &[TextFile], exceptions: &[(&str, &str)]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut excused = BTreeSet::new();
    for file in files.iter().filter(|file| file.path.ends_with(".rs")) {
        let found = check_source(file);
        if exceptions.iter().any(|(path, _)| *path == file.path) && !found.is_empty() {
            excused.insert(file.path.as_str());
        } else {
            violations.extend(found);
        }
    }
    for (path, reason) in exceptions.iter().filter(|(path, _)| !excused.contains(path)) {
        let what = format!("breaks no size rule, so its exception ({reason}) must go");
        violations.push(Violation::new(path, 1, what));
    }
    violations
}

fn check_source(file: &TextFile) -> Vec<Violation> {
    let mut violations = Vec::new();
    let lines = file.text.lines().count();
    if lines > MAX_FILE_LINES {
        let what = format!("the file has {lines} lines, at most {MAX_FILE_LINES} are allowed");
        violations.push(Violation::new(&file.path, MAX_FILE_LINES + 1, what));
    }
    if !file.text.trim_start().starts_with("//!") {
        let what = "the file does not open with a `//!` doc";
        violations.push(Violation::new(&file.path, 1, what));
    }
    match syn::parse_file(&file.text) {
        Ok(source) => Functions { path: &file.path, found: &mut violations }.visit_file(&source),
        Err(error) => {
            let what = format!("cannot be parsed: {error}");
            violations.push(Violation::new(&file.path, error.span().start().line, what));
        }
    }
    violations
}

struct Functions<'a> {
    path: &'a str,
    found: &'a mut Vec<Violation>,
}

impl Functions<'_> {
    fn check(&mut self, signature: &syn::Signature, body: &syn::Block) {
        // From `fn` or its qualifiers to the closing brace: attributes and docs do not count.
        let first = signature.span().start().line;
        let lines = body.span().end().line + 1 - first;
        let name = &signature.ident;
        if lines > MAX_FUNCTION_LINES {
            let what =
                format!("{name} has {lines} lines, at most {MAX_FUNCTION_LINES} are allowed");
            self.found.push(Violation::new(self.path, first, what));
        }
        self.check_parameters(signature);
    }

    fn check_parameters(&mut self, signature: &syn::Signature) {
        let typed = |input: &&syn::FnArg| matches!(input, syn::FnArg::Typed(_));
        let parameters = signature.inputs.iter().filter(typed).count();
        if parameters > MAX_PARAMETERS {
            let what = format!(
                "{} has {parameters} parameters, at most {MAX_PARAMETERS} are allowed",
                signature.ident
            );
            self.found.push(Violation::new(self.path, signature.span().start().line, what));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.check(&function.sig, &function.block);
        syn::visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        self.check(&function.sig, &function.block);
        syn::visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        match &function.default {
            Some(body) => self.check(&function.sig, body),
            None => self.check_parameters(&function.sig),
        }
        syn::visit::visit_trait_item_fn(self, function);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str, exceptions: &[(&str, &str)]) -> Vec<String> {
        let file = TextFile { path: "a.rs".to_owned(), text: text.to_owned() };
        check_sizes(&[file], exceptions).iter().map(Violation::to_string).collect()
    }

    fn function(lines: usize) -> String {
        format!(
            "//! Doc.\n\n/// Doc.\n#[must_use]\nfn long() {{\n{}}}\n",
            "    work();\n".repeat(lines - 2)
        )
    }

    #[test]
    fn a_planted_long_function_is_found() {
        assert_eq!(found(&function(60), &[]), [""; 0]);
        let want = "a.rs:5: long has 61 lines, at most 60 are allowed";
        assert_eq!(found(&function(61), &[]), [want]);
        let nested = function(61).replace("//! Doc.\n", "//! Doc.\nmod m { impl T {\n") + "}}";
        assert_eq!(found(&nested, &[])[0], want.replace(":5:", ":6:"));
    }

    #[test]
    fn a_planted_long_file_is_found() {
        let text = |lines: usize| format!("//! Doc.\n{}", "// Line.\n".repeat(lines - 1));
        assert_eq!(found(&text(400), &[]), [""; 0]);
        let want = "a.rs:401: the file has 401 lines, at most 400 are allowed";
        assert_eq!(found(&text(401), &[]), [want]);
    }

    #[test]
    fn planted_parameters_are_found() {
        let text = "//! Doc.\ntrait T {\n fn f(&self, a: A, b: A, c: A, d: A, e: A);\n \
                    fn g(a: A, b: A, c: A, d: A, e: A, f: A);\n}";
        assert_eq!(found(text, &[]), ["a.rs:4: g has 6 parameters, at most 5 are allowed"]);
    }

    #[test]
    fn a_missing_doc_is_found() {
        let want = "a.rs:1: the file does not open with a `//!` doc";
        assert_eq!(found("use a::b;\n", &[]), [want]);
    }

    #[test]
    fn exceptions_excuse_and_expire() {
        let exceptions = [("a.rs", "a table")];
        assert_eq!(found(&function(61), &exceptions), [""; 0]);
        let want = "a.rs:1: breaks no size rule, so its exception (a table) must go";
        assert_eq!(found(&function(60), &exceptions), [want]);
    }
}
