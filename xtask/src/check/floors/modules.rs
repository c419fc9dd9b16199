//! A crate as it is written: its modules, what each defines, what each imports, and every path that it mentions.
//!
//! Code for tests is left out. Both sides of every other `cfg` are read.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Ident, ImplItemFn, Item, ItemMod, ItemUse, Macro, Meta, UseTree, Visibility};

/// Gives the text of a file of the repository, or nothing if there is none.
pub(super) type Read<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The modules of a crate; the first is its root.
pub(super) struct Modules(pub Vec<Module>);

/// A module: a file, or an inline part of one.
#[derive(Default)]
pub(super) struct Module {
    /// Where it is below the root, as `dax/media`; empty for the root.
    pub path: String,
    /// Its file, relative to the repository.
    pub file: String,
    pub parent: Option<usize>,
    pub children: BTreeMap<String, usize>,
    /// What it defines, and the module in whose file that stands: an exported macro belongs to the root.
    pub items: BTreeMap<String, usize>,
    /// Names that `use` brings in, with the path of each.
    pub imports: Vec<(String, Vec<String>)>,
    /// Paths of `use …::*`.
    pub globs: Vec<Vec<String>>,
    pub mentions: Vec<Mention>,
    /// Whether it has anything but modules and re-exports.
    pub has_code: bool,
}

impl Module {
    /// Whether it only hands on what is defined elsewhere.
    pub(super) fn is_door(&self) -> bool {
        let hands_on = !self.imports.is_empty() || !self.globs.is_empty();
        hands_on && !self.has_code
    }
}

/// A path in the code.
#[derive(Clone)]
pub(super) struct Mention {
    pub path: Vec<String>,
    pub line: usize,
}

impl Modules {
    /// Reads the crate whose root is the file `root`.
    pub(super) fn read(root: &str, read: Read) -> Result<Self> {
        let mut modules = Vec::new();
        read_file(&mut modules, Module { file: root.to_owned(), ..Module::default() }, &folder(root), read)?;
        Ok(Self(modules))
    }
}

/// Reads the file of `module`, whose modules have their files in `folder`.
fn read_file(modules: &mut Vec<Module>, module: Module, folder: &str, read: Read) -> Result<usize> {
    let name = module.file.clone();
    let text = read(&name).with_context(|| format!("there is no file {name}"))?;
    let file = syn::parse_file(&text).with_context(|| format!("cannot parse {name}"))?;
    read_items(modules, module, &file.items, folder, read)
}

fn read_items(modules: &mut Vec<Module>, module: Module, items: &[Item], folder: &str, read: Read) -> Result<usize> {
    let index = modules.len();
    modules.push(module);
    for item in items.iter().filter(|item| !is_for_tests(attributes(item))) {
        if let Item::Mod(child) = item {
            let child_index = read_child(modules, index, child, folder, read)?;
            modules[index].children.insert(child.ident.to_string(), child_index);
            continue;
        }
        modules[index].has_code |= !is_re_export(item);
        if let Some(name) = defined(item) {
            let owner = if is_exported_macro(item) { 0 } else { index };
            modules[owner].items.insert(name.to_string(), index);
        }
        Reader { module: &mut modules[index] }.visit_item(item);
    }
    Ok(index)
}

fn read_child(
    modules: &mut Vec<Module>,
    parent: usize,
    child: &ItemMod,
    folder_of_parent: &str,
    read: Read,
) -> Result<usize> {
    let name = child.ident.to_string();
    let parent_module = &modules[parent];
    let path = [parent_module.path.as_str(), &name].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    let mut module = Module { path: path.join("/"), parent: Some(parent), ..Module::default() };
    let below = format!("{folder_of_parent}/{name}");
    if let Some((_, items)) = &child.content {
        module.file = parent_module.file.clone();
        return read_items(modules, module, items, &below, read);
    }
    let candidates = match path_attribute(&child.attrs) {
        Some(path) => vec![normal(&format!("{}/{path}", folder(&parent_module.file)))],
        None => vec![format!("{below}.rs"), format!("{below}/mod.rs")],
    };
    let Some(file) = candidates.iter().find(|file| read(file).is_some()) else {
        bail!("{}: `mod {name}` has no file", parent_module.file);
    };
    module.file = file.clone();
    read_file(modules, module, &below, read)
}

/// Collects what one module imports and mentions.
struct Reader<'a> {
    module: &'a mut Module,
}

impl Reader<'_> {
    fn mention(&mut self, path: Vec<String>, first: &Ident) {
        self.module.mentions.push(Mention { path, line: first.span().start().line });
    }

    fn import(&mut self, tree: &UseTree, mut path: Vec<String>) {
        match tree {
            UseTree::Path(part) => {
                path.push(part.ident.to_string());
                self.import(&part.tree, path);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, path.clone())),
            UseTree::Glob(glob) => {
                let line = glob.star_token.spans[0].start().line;
                self.module.mentions.push(Mention { path: path.clone(), line });
                self.module.globs.push(path);
            }
            UseTree::Name(name) => self.import_as(&name.ident, &name.ident, path),
            UseTree::Rename(rename) => self.import_as(&rename.ident, &rename.rename, path),
        }
    }

    fn import_as(&mut self, last: &Ident, name: &Ident, mut path: Vec<String>) {
        let mut name = name.to_string();
        if last == "self" {
            if name == "self" {
                name = path.last().cloned().unwrap_or_default();
            }
        } else {
            path.push(last.to_string());
        }
        self.mention(path.clone(), last);
        self.module.imports.push((name, path));
    }

    /// Finds the paths in the text of a macro, which is not parsed otherwise.
    fn tokens(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut rest = tokens.as_slice();
        while let Some((token, after)) = rest.split_first() {
            rest = after;
            match token {
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Ident(first) => {
                    let mut path = vec![first.to_string()];
                    while let [TokenTree::Punct(one), TokenTree::Punct(two), TokenTree::Ident(next), after @ ..] = rest
                        && one.as_char() == ':'
                        && two.as_char() == ':'
                    {
                        path.push(next.to_string());
                        rest = after;
                    }
                    if path.len() > 1 {
                        self.mention(path, first);
                    }
                }
                _ => {}
            }
        }
    }
}

impl Visit<'_> for Reader<'_> {
    fn visit_item(&mut self, item: &Item) {
        if !is_for_tests(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_use(&mut self, item: &ItemUse) {
        if item.leading_colon.is_none() {
            self.import(&item.tree, Vec::new());
        }
    }

    fn visit_path(&mut self, path: &syn::Path) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.mention(names, &path.segments[0].ident);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
    }

    /// `pub(in …)` names a module, and imports nothing.
    fn visit_visibility(&mut self, _: &Visibility) {}
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// The name that `item` defines in its module.
fn defined(item: &Item) -> Option<&Ident> {
    match item {
        Item::Const(item) => Some(&item.ident),
        Item::Enum(item) => Some(&item.ident),
        Item::Fn(item) => Some(&item.sig.ident),
        Item::Macro(item) => item.ident.as_ref(),
        Item::Static(item) => Some(&item.ident),
        Item::Struct(item) => Some(&item.ident),
        Item::Trait(item) => Some(&item.ident),
        Item::Type(item) => Some(&item.ident),
        Item::Union(item) => Some(&item.ident),
        _ => None,
    }
}

fn is_re_export(item: &Item) -> bool {
    matches!(item, Item::Use(item) if !matches!(item.vis, Visibility::Inherited))
}

fn is_exported_macro(item: &Item) -> bool {
    attributes(item).iter().any(|attribute| attribute.path().is_ident("macro_export"))
}

/// Whether the attributes leave what they stand at out of every build but that of tests.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<Meta>().is_ok_and(|meta| needs_test(&meta))
    })
}

fn needs_test(condition: &Meta) -> bool {
    let Meta::List(list) = condition else { return condition.path().is_ident("test") };
    let parts = list.parse_args_with(syn::punctuated::Punctuated::<Meta, syn::Token![,]>::parse_terminated);
    let parts = parts.unwrap_or_default();
    match list.path.get_ident().map(Ident::to_string).as_deref() {
        Some("all") => parts.iter().any(needs_test),
        Some("any") => parts.iter().all(needs_test),
        _ => false,
    }
}

/// What `#[path = "…"]` says.
fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("path") => match &meta.value {
            syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(path), .. }) => Some(path.value()),
            _ => None,
        },
        _ => None,
    })
}

fn folder(file: &str) -> String {
    file.rsplit_once('/').map_or_else(String::new, |(folder, _)| folder.to_owned())
}

/// `path` without `..`.
fn normal(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}
