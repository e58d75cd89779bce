//! Guests of a few lines. The world's types and names come from `wit/`, so that they are right by
//! construction; every export but `prepare`, which does nothing, traps until a test gives it a body
//! in WebAssembly's text format.
//!
//! Memory: `RESULT` bytes of zeros at address 16 for what an export returns, texts from 4096 on.

use std::path::Path;

use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve, WorldId};

/// Where bodies find room for a result, all zeros.
pub(super) const RESULT: u32 = 16;

/// Where texts of [`Guest::text`] begin.
const TEXTS: u32 = 4096;

/// A guest in the making.
pub(super) struct Guest {
    resolve: Resolve,
    world: WorldId,
    module: String,
    texts: String,
    items: String,
}

impl Guest {
    /// A guest of the world `plugin` whose exports all trap.
    pub(super) fn new() -> Self {
        Self::with_imports(&[])
    }

    /// As [`Guest::new`], with further imports.
    pub(super) fn with_imports(imports: &[&str]) -> Self {
        let imports = imports.iter().map(|import| format!("import {import};"));
        let imports = imports.collect::<Vec<_>>().concat();
        let world = format!(
            "package test:guest;
             world guest {{ include contact-sync:plugin/plugin@0.1.0; {imports} }}"
        );
        Self::of(Path::new("../wit"), Some(&world)).export("lifecycle@0.1|prepare", "")
    }

    /// A guest of the world `plugin` as this folder has it.
    pub(super) fn of_folder(folder: &Path) -> Self {
        Self::of(folder, None)
    }

    fn of(folder: &Path, world: Option<&str>) -> Self {
        let mut resolve = Resolve::new();
        let (mut package, _) = resolve.push_dir(folder).unwrap();
        if let Some(world) = world {
            package = resolve.push_str("guest.wit", world).unwrap();
        }
        let name = if world.is_some() { "guest" } else { "plugin" };
        let world = resolve.select_world(&[package], Some(name)).unwrap();
        let module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
        let module = wasmprinter::print_bytes(module).unwrap();
        let guest = Self {
            resolve,
            world,
            module: with_open_bodies(&module),
            texts: String::new(),
            items: String::new(),
        };
        guest.with_allocator()
    }

    /// Gives an export its body: `sync@0.1|status`. `$store@0.1.commit` in it calls that import.
    pub(super) fn export(mut self, name: &str, body: &str) -> Self {
        let export = format!("(export \"cm32p2|contact-sync:plugin/{name}\" (func ");
        let number = between(&self.module, &export, ")").to_owned();
        self.set_body(&number, body);
        self
    }

    /// Puts a text into memory; it begins at the returned address.
    pub(super) fn text(mut self, text: &str) -> Self {
        self.texts.push_str(text);
        self
    }

    /// Gives what the host calls to bring it to life a body.
    pub(super) fn initialize(mut self, body: &str) -> Self {
        let number = between(&self.module, "(export \"cm32p2_initialize\" (func ", ")").to_owned();
        self.set_body(&number, body);
        self
    }

    /// Gives what the host calls for room in its memory another body.
    pub(super) fn allocator(mut self, body: &str) -> Self {
        let number = between(&self.module, "(export \"cm32p2_realloc\" (func ", ")").to_owned();
        self.set_body(&number, body);
        self
    }

    /// Adds a function, a global, a table or data to the module.
    pub(super) fn item(mut self, item: &str) -> Self {
        self.items.push_str(&self.with_imports_resolved(item));
        self.items.push('\n');
        self
    }

    /// The component.
    pub(super) fn build(self) -> Vec<u8> {
        let items = &self.items;
        let data = format!("(data (i32.const {TEXTS}) \"{}\")\n{items})", self.texts);
        let end = self.module.rfind(')').unwrap();
        let text = format!("{}{data}", &self.module[..end]);
        let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let utf8 = StringEncoding::UTF8;
        embed_component_metadata(&mut module, &self.resolve, self.world, utf8, false).unwrap();
        ComponentEncoder::default()
            .module(&module)
            .unwrap()
            .validate(true)
            .encode()
            .unwrap()
    }

    /// Never frees, and starts behind the texts.
    fn with_allocator(mut self) -> Self {
        self.module = self.module.replace("(memory (;0;) 0)", "(memory (;0;) 4)");
        let number = between(&self.module, "(export \"cm32p2_realloc\" (func ", ")").to_owned();
        let end = self.module.rfind(')').unwrap();
        self.module
            .insert_str(end, "(global $free (mut i32) (i32.const 65536))\n");
        self.set_body(
            &number,
            "(global.set $free
               (i32.and (i32.add (global.get $free) (i32.const 15)) (i32.const -16)))
             global.get $free
             (global.set $free (i32.add (global.get $free) (local.get 3)))",
        );
        self
    }

    fn set_body(&mut self, number: &str, body: &str) {
        let head = format!("(func (;{number};)");
        let start = self.module.find(&format!("  {head}")).unwrap() + 2;
        let line = start + self.module[start..].find('\n').unwrap();
        let end = line + self.module[line..].find("\n  )").unwrap();
        let body = self.with_imports_resolved(body);
        self.module.replace_range(line..end, &format!("\n{body}"));
    }

    fn with_imports_resolved(&self, body: &str) -> String {
        let resolve = |word: &str| {
            let (prefix, name) = word
                .split_once('$')
                .filter(|(_, name)| name.contains('@'))?;
            let (interface, function) = name.split_once('/').unwrap();
            let interface = interface.replace('~', "/");
            let import = format!("(import \"cm32p2|{interface}\" \"{function}\" (func (;");
            Some(format!("{prefix}{}", between(&self.module, &import, ";")))
        };
        let words = body
            .split_whitespace()
            .map(|word| resolve(word).unwrap_or_else(|| word.to_owned()));
        words.collect::<Vec<_>>().join(" ")
    }
}

/// Functions without a body are printed on one line; `set_body` looks for one below it.
fn with_open_bodies(module: &str) -> String {
    let mut open = String::with_capacity(module.len());
    for line in module.lines() {
        let is_whole = line.matches('(').count() == line.matches(')').count();
        match line.strip_suffix(')') {
            Some(head) if is_whole && line.starts_with("  (func (;") => {
                open.push_str(head);
                open.push_str("\n  )");
            }
            _ => open.push_str(line),
        }
        open.push('\n');
    }
    open
}

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let from = text.find(start).unwrap_or_else(|| panic!("no {start}")) + start.len();
    &text[from..from + text[from..].find(end).unwrap()]
}
