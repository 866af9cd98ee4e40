//! The modules of the program from its source: their files, the names that each defines and imports, and the paths that
//! each uses. Code that only tests compile is left out.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Item, UseTree, Visibility,
    visit::{self, Visit},
};

/// The name by which the binaries import the library.
const LIBRARY: &str = "arcadia_operator";

/// A path as segments. The first one is the name of a crate: of this project or another.
pub(crate) type Segments = Vec<String>;

/// All modules by path.
#[derive(Default)]
pub(crate) struct Source {
    modules: BTreeMap<Segments, Module>,
}

/// One module, in a separate file or within its parent's.
#[derive(Default)]
struct Module {
    /// Relative to `src`.
    file: String,
    defined: BTreeSet<String>,
    /// Names that `use` imports, with their full paths as written.
    imported: BTreeMap<String, Segments>,
    /// Modules from which `use` imports all names.
    globs: Vec<Segments>,
    /// Paths that the code of the module uses, including those of private `use` items. A name that `pub use` only
    /// re-exports is not included: its users depend on the file that defines it.
    written: BTreeSet<Segments>,
    /// The macros that the code of the module calls: the last segment of the name, and the arguments.
    macros: Vec<(String, TokenStream)>,
    /// The struct patterns of the code: the path, and the fields.
    bound: Vec<(Segments, BTreeSet<String>)>,
    /// The types and traits that the module defines, and whether each is private.
    types: BTreeMap<String, bool>,
}

/// The target of a path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// An item of this project.
    Here {
        /// The file that defines it.
        file: String,
        /// Its name.
        item: String,
    },
    /// An item of another crate, by its full path.
    Elsewhere(Segments),
}

impl Source {
    /// Reads the library and the binaries below `root`.
    pub(crate) fn read(root: &Path) -> Self {
        let mut source = Self::default();
        for (file, name) in [("lib.rs", LIBRARY), ("main.rs", "main")] {
            if root.join(file).exists() {
                source.crate_at(root, file, name);
            }
        }
        let bins = fs::read_dir(root.join("bin")).map(|entries| entries.map(|entry| entry.unwrap().file_name()));
        for name in bins.into_iter().flatten() {
            let name = name.into_string().unwrap();
            source.crate_at(root, &format!("bin/{name}"), &name);
        }
        source
    }

    /// One crate of the given files: path relative to `src`, and text.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let mut source = Self::default();
        source.crate_at(folder.path(), "lib.rs", LIBRARY);
        source
    }

    fn crate_at(&mut self, root: &Path, file: &str, name: &str) {
        let folder = PathBuf::from(file).parent().unwrap().to_owned();
        self.module_at(root, Path::new(file), &folder, &vec![name.to_owned()]);
    }

    /// Reads a module in its own file, whose children are in `folder`.
    fn module_at(&mut self, root: &Path, file: &Path, folder: &Path, path: &Segments) {
        let text = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.items(root, file, folder, path, parsed.items);
    }

    fn items(&mut self, root: &Path, file: &Path, folder: &Path, path: &Segments, items: Vec<Item>) {
        let mut module = Module { file: file.to_str().unwrap().to_owned(), ..Module::default() };
        for item in items {
            let Item::Mod(child) = item else {
                module.visit_item(&item);
                continue;
            };
            if is_test(&child.attrs) {
                continue;
            }
            let name = child.ident.to_string();
            let child_path: Segments = path.iter().cloned().chain([name.clone()]).collect();
            let child_folder = folder.join(&name);
            if let Some((_, items)) = child.content {
                self.items(root, file, &child_folder, &child_path, items);
            } else {
                let beside = folder.join(format!("{name}.rs"));
                let is_beside = root.join(&beside).exists();
                let child_file = if is_beside { beside } else { child_folder.join("mod.rs") };
                self.module_at(root, &child_file, &child_folder, &child_path);
            }
        }
        self.modules.insert(path.clone(), module);
    }

    /// All files, each with the targets that its code uses.
    pub(crate) fn references(&self) -> BTreeMap<String, BTreeSet<Target>> {
        let mut references = BTreeMap::<String, BTreeSet<Target>>::new();
        for (path, module) in &self.modules {
            let targets = module.written.iter().filter_map(|written| self.resolve(path, written, 0));
            references.entry(module.file.clone()).or_default().extend(targets);
        }
        references
    }

    /// The macros of this name that the code calls: the file and the arguments.
    pub(crate) fn calls<'source>(
        &'source self,
        name: &str,
    ) -> impl Iterator<Item = (&'source str, &'source TokenStream)> {
        self.modules.values().flat_map(move |module| {
            let calls = module.macros.iter().filter(move |(called, _)| called == name);
            calls.map(|(_, arguments)| (module.file.as_str(), arguments))
        })
    }

    /// The patterns of enum variants with fields: the file of the code, the enum, the variant, and the fields.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = (&str, Target, &str, &BTreeSet<String>)> {
        self.modules.iter().flat_map(move |(path, module)| {
            module.bound.iter().filter_map(move |(written, fields)| {
                let (variant, owner) = written.split_last()?;
                Some((module.file.as_str(), self.resolve(path, owner, 0)?, variant.as_str(), fields))
            })
        })
    }

    /// The types and traits of each name: the file of each, and whether it is private.
    pub(crate) fn types(&self) -> BTreeMap<&str, Vec<(&str, bool)>> {
        let mut types = BTreeMap::<&str, Vec<(&str, bool)>>::new();
        for module in self.modules.values() {
            for (name, is_private) in &module.types {
                types.entry(name).or_default().push((&module.file, *is_private));
            }
        }
        types
    }

    /// Resolves a path in a module. None for a name of the language, a local variable, a macro or a whole module.
    fn resolve(&self, module: &Segments, path: &[String], depth: usize) -> Option<Target> {
        assert!(depth < 32, "{path:?} in {module:?} leads in circles");
        let (first, rest) = path.split_first()?;
        let here = self.modules.get(module)?;
        match first.as_str() {
            "crate" | "$crate" => self.item(&module[..1].to_vec(), rest, depth + 1),
            "self" => self.item(module, rest, depth + 1),
            "super" => {
                let parent = module[..module.len() - 1].to_vec();
                match rest.first().map(String::as_str) {
                    Some("super") => self.resolve(&parent, rest, depth + 1),
                    _ => self.item(&parent, rest, depth + 1),
                }
            }
            LIBRARY => self.item(&vec![LIBRARY.to_owned()], rest, depth + 1),
            name => {
                let is_here = here.defined.contains(name) || self.modules.contains_key(&below(module, name));
                let is_brought = here.imported.contains_key(name);
                if is_here || is_brought {
                    return self.item(module, path, depth + 1);
                }
                let of_globs = here.globs.iter().find_map(|glob| {
                    let through: Segments = glob.iter().chain(path).cloned().collect();
                    match self.resolve(module, &through, depth + 1) {
                        Some(Target::Elsewhere(_)) => None,
                        found => found,
                    }
                });
                let is_crate = !rest.is_empty() && name.chars().next().is_some_and(char::is_lowercase);
                of_globs.or_else(|| is_crate.then(|| Target::Elsewhere(path.to_vec())))
            }
        }
    }

    /// The item at a path below a module of this project.
    fn item(&self, module: &Segments, path: &[String], depth: usize) -> Option<Target> {
        let here = self.modules.get(module)?;
        let (first, rest) = path.split_first()?;
        let child = below(module, first);
        if self.modules.contains_key(&child) && !(rest.is_empty() && here.defined.contains(first)) {
            return self.item(&child, rest, depth);
        }
        if here.defined.contains(first) {
            return Some(Target::Here { file: here.file.clone(), item: first.clone() });
        }
        if let Some(import) = here.imported.get(first) {
            if import.len() == 1 && import[0] == *first {
                return None;
            }
            let through: Segments = import.iter().chain(rest).cloned().collect();
            // A `use` with the name of a crate must not resolve to itself.
            return match self.modules.get(module) {
                Some(_) if import[0] == *first => Some(Target::Elsewhere(through)),
                _ => self.resolve(module, &through, depth + 1),
            };
        }
        here.globs.iter().find_map(|glob| {
            let through: Segments = glob.iter().chain(path).cloned().collect();
            self.resolve(module, &through, depth + 1)
        })
    }
}

fn below(module: &[String], name: &str) -> Segments {
    module.iter().cloned().chain([name.to_owned()]).collect()
}

impl Module {
    /// Adds a `use` item. `path` contains the segments before this part of its tree.
    fn import(&mut self, tree: &UseTree, path: &[String], is_handed_on: bool) {
        let mut bring = |name: String, path: Segments| {
            if !is_handed_on {
                self.written.insert(path.clone());
            }
            self.imported.insert(name, path);
        };
        match tree {
            UseTree::Path(part) => {
                self.import(&part.tree, &below(path, &part.ident.to_string()), is_handed_on);
            }
            UseTree::Name(leaf) if leaf.ident == "self" => {
                bring(path.last().unwrap().clone(), path.to_vec());
            }
            UseTree::Name(leaf) => bring(leaf.ident.to_string(), below(path, &leaf.ident.to_string())),
            UseTree::Rename(leaf) => {
                let name = leaf.ident.to_string();
                let path = if name == "self" { path.to_vec() } else { below(path, &name) };
                bring(leaf.rename.to_string(), path);
            }
            UseTree::Glob(_) => self.globs.push(path.to_vec()),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.import(tree, path, is_handed_on);
                }
            }
        }
    }

    /// Adds the paths and the calls of macros in unparsed tokens: the arguments of macros.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path = Segments::new();
        let mut colons = 0;
        let mut called = None;
        for token in tokens {
            let calling = called.take();
            match token {
                TokenTree::Punct(punct) if punct.as_char() == '!' && !path.is_empty() => {
                    called = path.last().cloned();
                    self.take(&mut path);
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => {
                    colons += 1;
                    continue;
                }
                TokenTree::Ident(ident) if colons == 2 => path.push(ident.to_string()),
                TokenTree::Ident(ident) => {
                    self.take(&mut path);
                    path.push(ident.to_string());
                }
                TokenTree::Group(group) => {
                    self.take(&mut path);
                    self.macros.extend(calling.map(|name| (name, group.stream())));
                    self.tokens(group.stream());
                }
                _ => self.take(&mut path),
            }
            colons = 0;
        }
        self.take(&mut path);
    }

    /// Adds the struct patterns within a pattern of a macro.
    fn bind(&mut self, pattern: &syn::Pat) {
        struct Structs<'m>(&'m mut Module);
        impl<'ast> Visit<'ast> for Structs<'_> {
            fn visit_pat_struct(&mut self, pattern: &'ast syn::PatStruct) {
                self.0.bind_struct(pattern);
                visit::visit_pat_struct(self, pattern);
            }
        }
        Structs(self).visit_pat(pattern);
    }

    fn bind_struct(&mut self, pattern: &syn::PatStruct) {
        let segments: Segments = pattern.path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        let fields = pattern.fields.iter().filter_map(|field| match &field.member {
            syn::Member::Named(name) => Some(name.to_string()),
            syn::Member::Unnamed(_) => None,
        });
        self.bound.push((segments, fields.collect()));
    }

    fn take(&mut self, path: &mut Segments) {
        let path = std::mem::take(path);
        if !path.is_empty() {
            self.written.insert(path);
        }
    }
}

impl<'ast> Visit<'ast> for Module {
    fn visit_item(&mut self, item: &'ast Item) {
        let (attrs, name): (&[Attribute], _) = match item {
            Item::Const(item) => (&item.attrs, Some(&item.ident)),
            Item::Enum(item) => (&item.attrs, Some(&item.ident)),
            Item::Fn(item) => (&item.attrs, Some(&item.sig.ident)),
            Item::Macro(item) => (&item.attrs, item.ident.as_ref()),
            Item::Static(item) => (&item.attrs, Some(&item.ident)),
            Item::Struct(item) => (&item.attrs, Some(&item.ident)),
            Item::Trait(item) => (&item.attrs, Some(&item.ident)),
            Item::Type(item) => (&item.attrs, Some(&item.ident)),
            Item::Impl(item) => (&item.attrs, None),
            Item::Use(item) => (&item.attrs, None),
            _ => (&[], None),
        };
        if is_test(attrs) {
            return;
        }
        self.defined.extend(name.map(ToString::to_string));
        let visibility = match item {
            Item::Enum(item) => Some((&item.ident, &item.vis)),
            Item::Struct(item) => Some((&item.ident, &item.vis)),
            Item::Trait(item) => Some((&item.ident, &item.vis)),
            Item::Type(item) => Some((&item.ident, &item.vis)),
            _ => None,
        };
        let types = visibility.map(|(name, vis)| (name.to_string(), matches!(vis, Visibility::Inherited)));
        self.types.extend(types);
        if let Item::Use(item) = item {
            let is_handed_on = !matches!(item.vis, Visibility::Inherited);
            return self.import(&item.tree, &[], is_handed_on);
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        let attrs: &[Attribute] = match item {
            syn::ImplItem::Const(item) => &item.attrs,
            syn::ImplItem::Fn(item) => &item.attrs,
            _ => &[],
        };
        if !is_test(attrs) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.written.insert(segments);
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, called: &'ast syn::Macro) {
        let name = called.path.segments.last().map(|segment| segment.ident.to_string());
        if name.as_deref() == Some("matches")
            && let Ok(pattern) = called.parse_body_with(matched)
        {
            self.bind(&pattern);
        }
        self.macros.extend(name.map(|name| (name, called.tokens.clone())));
        self.tokens(called.tokens.clone());
        visit::visit_macro(self, called);
    }

    fn visit_pat_struct(&mut self, pattern: &'ast syn::PatStruct) {
        self.bind_struct(pattern);
        visit::visit_pat_struct(self, pattern);
    }

    /// Paths in attributes, such as clap's, and in their strings, such as serde's.
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
            for token in list.tokens.clone() {
                let TokenTree::Literal(literal) = token else { continue };
                let Ok(text) = syn::parse_str::<syn::LitStr>(&literal.to_string()) else { continue };
                if let Ok(path) = text.parse::<syn::Path>() {
                    self.visit_path(&path);
                }
            }
        }
    }
}

/// The pattern of `matches!`.
fn matched(input: syn::parse::ParseStream<'_>) -> syn::Result<syn::Pat> {
    input.parse::<syn::Expr>()?;
    input.parse::<syn::Token![,]>()?;
    let pattern = syn::Pat::parse_multi_with_leading_vert(input)?;
    input.parse::<TokenStream>()?;
    Ok(pattern)
}

/// Returns true if an item is compiled only for tests.
fn is_test(attrs: &[Attribute]) -> bool {
    attrs.iter().any(|attr| match &attr.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}
