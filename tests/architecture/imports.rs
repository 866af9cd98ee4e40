//! The lint of imports: neighbouring `use` items are one nested `use` per crate, in the blocks standard library, other
//! crates, this crate.

use std::{collections::BTreeSet, mem::take};

use syn::{
    Item, ItemUse, Stmt, UseTree, Visibility,
    spanned::Spanned as _,
    visit::{self, Visit},
};

/// The block of an import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Block {
    Standard,
    OtherCrates,
    ThisCrate,
}

/// One `use` item without attributes.
struct Import {
    roots: Vec<String>,
    block: Block,
    visibility: String,
    first_line: usize,
    last_line: usize,
}

/// The faults of the imports of one file.
pub(crate) fn faults(file: &str, text: &str) -> Vec<String> {
    let parsed = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
    let mut check = Check { lines: text.lines().collect(), faults: Vec::new() };
    check.items(&parsed.items.iter().collect::<Vec<_>>());
    check.visit_file(&parsed);
    check.faults.into_iter().map(|fault| format!("{file}:{fault}")).collect()
}

struct Check<'t> {
    lines: Vec<&'t str>,
    faults: Vec<String>,
}

impl Check<'_> {
    /// Checks the imports among the items of one module or block.
    fn items(&mut self, items: &[&Item]) {
        let modules: BTreeSet<String> = items
            .iter()
            .filter_map(|item| match item {
                Item::Mod(module) => Some(module.ident.to_string()),
                _ => None,
            })
            .collect();
        let mut run: Vec<Import> = Vec::new();
        for item in items {
            let import = match item {
                Item::Use(import) if import.attrs.is_empty() => Some(Import::of(import, &modules)),
                _ => None,
            };
            let continues = import.as_ref().is_some_and(|import| {
                run.last().is_none_or(|last| {
                    let between = self.lines.get(last.last_line..import.first_line - 1).unwrap_or_default();
                    between.iter().all(|line| line.trim().is_empty())
                })
            });
            if !continues {
                self.run(&take(&mut run));
            }
            run.extend(import);
        }
        self.run(&run);
    }

    /// Checks `use` items without anything between them.
    fn run(&mut self, run: &[Import]) {
        for (position, import) in run.iter().enumerate() {
            let fault = |text: &str| format!("{}: {text}", import.first_line);
            let twin = run[..position].iter().any(|other| {
                other.visibility == import.visibility && other.roots.iter().any(|root| import.roots.contains(root))
            });
            if twin {
                self.faults.push(fault("two `use` items of one crate; nest them"));
            }
            let Some(before) = position.checked_sub(1).map(|before| &run[before]) else { continue };
            let is_apart = import.first_line > before.last_line + 1;
            let is_same_visibility = before.visibility == import.visibility;
            if is_same_visibility && before.block > import.block {
                self.faults.push(fault("the order is: standard library, other crates, this crate"));
            }
            let is_same_block = is_same_visibility && (before.block == import.block || !import.visibility.is_empty());
            if is_apart == is_same_block {
                self.faults.push(fault("an empty line separates the blocks of imports, and nothing else"));
            }
        }
    }
}

impl Import {
    fn of(item: &ItemUse, modules: &BTreeSet<String>) -> Self {
        let mut roots = Vec::new();
        root(&item.tree, &mut roots);
        let block = roots.iter().map(|root| Block::of(root, modules)).max().unwrap_or(Block::OtherCrates);
        let span = item.span();
        let visibility = match &item.vis {
            Visibility::Inherited => String::new(),
            Visibility::Public(_) => "pub".to_owned(),
            Visibility::Restricted(restricted) => {
                restricted.path.segments.iter().map(|part| part.ident.to_string()).collect::<Vec<_>>().join("::")
            }
        };
        Self { roots, block, visibility, first_line: span.start().line, last_line: span.end().line }
    }
}

impl Block {
    fn of(root: &str, modules: &BTreeSet<String>) -> Self {
        match root {
            "std" | "core" | "alloc" => Self::Standard,
            "crate" | "self" | "super" => Self::ThisCrate,
            root if modules.contains(root) => Self::ThisCrate,
            _ => Self::OtherCrates,
        }
    }
}

/// Adds the first segments of a tree.
fn root(tree: &UseTree, roots: &mut Vec<String>) {
    match tree {
        UseTree::Path(path) => roots.push(path.ident.to_string()),
        UseTree::Name(name) => roots.push(name.ident.to_string()),
        UseTree::Rename(name) => roots.push(name.ident.to_string()),
        UseTree::Glob(_) => {}
        UseTree::Group(group) => group.items.iter().for_each(|tree| root(tree, roots)),
    }
}

impl<'ast> Visit<'ast> for Check<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if let Some((_, items)) = &module.content {
            self.items(&items.iter().collect::<Vec<_>>());
        }
        visit::visit_item_mod(self, module);
    }

    fn visit_block(&mut self, block: &'ast syn::Block) {
        let items = block.stmts.iter().map_while(|statement| match statement {
            Stmt::Item(item) => Some(item),
            _ => None,
        });
        self.items(&items.collect::<Vec<_>>());
        visit::visit_block(self, block);
    }
}
