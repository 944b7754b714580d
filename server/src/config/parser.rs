//! Makes a tree of values of a configuration file: maps, lists, variables, includes.
//!
//! Owns: the grammar around the plain values of `lexer`, scopes of variables, the way back after an error, and every
//! bound that keeps a hostile or broken file from exhausting the process.
//! Not here: which keys exist and what they mean (`table`, `apply`).
//!
//! Invariants
//!   recursion is at most `DEPTH_MAX` deep, includes and variables of the environment counted in
//!   every turn of a loop over the text moves the cursor, or ends the loop
//!   `scopes` holds one map per `{` that is open, the file's own first

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::diagnostic::{Diagnostic, Position};
use super::files::{include_path, Env, ReadFile};
use super::lexer::{Blank, Key, LexError, Lexer, Place, ValueStart};
use super::value::{Map, Node, Value, DEPTH_MAX};

/// Findings of one load; after that many the rest of the text is not looked at.
pub const ERRORS_MAX: usize = 64;
/// Files that include each other in a row; deeper ones are refused.
pub const INCLUDE_DEPTH_MAX: usize = 32;
/// Bytes of all files together, each include counted; more are refused.
pub const INPUT_SIZE_MAX: usize = 256 * 1024 * 1024;
/// Values that references to variables may bring in together; more are refused.
pub const REFERENCED_WEIGHT_MAX: usize = 4 * 1024 * 1024;

/// Variables of the environment that refer to each other in a row; deeper ones are refused.
const ENV_DEPTH_MAX: usize = 32;
/// A `$` and this is the start of a hashed password, not of a variable's name.
const BCRYPT_PREFIX: &str = "2a$";
/// Said where a key or a comment could stand.
const SINGLE_SLASH: &str = "expected a key or a comment, but found a single '/'";
/// Key that a variable of the environment is parsed under.
const ENV_KEY: &str = "pk";

/// Reads and parses the file at `path` and all that it includes.
pub fn parse_file(path: &Path, read: &dyn ReadFile, env: &dyn Env) -> Result<Map, Vec<Diagnostic>> {
    let bytes = read
        .read(path)
        .map_err(|error| vec![Diagnostic::error(None, open_error(path, &error))])?;
    parse_text(&path.to_string_lossy(), &bytes, read, env)
}

/// Parses text that `name` stands for in messages; includes are looked for beside it.
pub fn parse_text(
    name: &str,
    bytes: &[u8],
    read: &dyn ReadFile,
    env: &dyn Env,
) -> Result<Map, Vec<Diagnostic>> {
    let mut load = Load::new(read, env);
    load.including.push(include_path("", name));
    load.input_size_left = load.input_size_left.saturating_sub(bytes.len());
    let map = parse_with(&mut load, name.into(), bytes, 0);
    if load.errors.is_empty() {
        Ok(map)
    } else {
        Err(load.errors)
    }
}

/// What all parsers of one load share.
struct Load<'a> {
    read: &'a dyn ReadFile,
    env: &'a dyn Env,
    errors: Vec<Diagnostic>,
    including: Vec<PathBuf>,
    env_names: Vec<String>,
    input_size_left: usize,
    weight_left: usize,
}

impl<'a> Load<'a> {
    fn new(read: &'a dyn ReadFile, env: &'a dyn Env) -> Load<'a> {
        Load {
            read,
            env,
            errors: Vec::new(),
            including: Vec::new(),
            env_names: Vec::new(),
            input_size_left: INPUT_SIZE_MAX,
            weight_left: REFERENCED_WEIGHT_MAX,
        }
    }
}

fn parse_with(load: &mut Load<'_>, file: Arc<str>, bytes: &[u8], depth: usize) -> Map {
    let lexer = match Lexer::new(bytes) {
        Ok(lexer) => lexer,
        Err(error) => {
            let at = Position {
                file,
                line: error.at.line,
                column: error.at.column,
            };
            load.errors.push(Diagnostic::error(Some(at), error.text));
            return Map::default();
        }
    };
    let mut parser = Parser {
        load,
        lexer,
        file,
        scopes: vec![Map::default()],
        stopped: false,
    };
    parser.top(depth);
    assert_eq!(
        parser.scopes.len(),
        1,
        "every map that was opened has been taken off again"
    );
    parser.scopes.pop().expect("just counted")
}

/// Where an entry stands, which decides how its value may start and what ends it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    /// In the file itself.
    Top,
    /// In braces around the whole file, or a part of it: same map, other separators.
    Bare,
    /// In a map that is a value.
    Map,
}

struct Parser<'l, 'a, 't> {
    load: &'l mut Load<'a>,
    lexer: Lexer<'t>,
    file: Arc<str>,
    scopes: Vec<Map>,
    /// Nothing more is to be said about this text: it ended too early, or too much is wrong with it.
    stopped: bool,
}

impl Parser<'_, '_, '_> {
    fn position(&self, at: Place) -> Position {
        Position {
            file: Arc::clone(&self.file),
            line: at.line,
            column: at.column,
        }
    }

    fn report(&mut self, error: LexError) {
        if self.stopped {
            return;
        }
        let at = self.position(error.at);
        self.load.errors.push(Diagnostic::error(Some(at), error.text));
        if self.load.errors.len() >= ERRORS_MAX || self.lexer.at_end() {
            self.stopped = true;
        }
    }

    /// Reports and looks no further.
    fn give_up(&mut self, at: Place, text: String) {
        self.report(LexError { at, text });
        self.stopped = true;
    }

    fn report_and_resynchronise(&mut self, error: LexError, since: usize) {
        self.report(error);
        self.lexer.resynchronise(since);
    }

    fn top(&mut self, depth: usize) {
        while !self.stopped {
            self.lexer.skip_blank(Blank::All);
            if self.lexer.skip_comment() {
                continue;
            }
            let since = self.lexer.offset();
            match self.lexer.peek() {
                None => return,
                Some(b'{') => {
                    self.lexer.advance(1);
                    // Where they are not, the text has ended and so does this loop.
                    self.bare_braces(depth, 1);
                }
                Some(b'/') => {
                    let error = self.lexer.error(SINGLE_SLASH);
                    self.report_and_resynchronise(error, since);
                }
                Some(b'}') => {
                    let error = self
                        .lexer
                        .error("unexpected '}': nothing is open that it could close");
                    self.lexer.advance(1);
                    self.lexer.skip_blank(Blank::All);
                    // One brace too many at the very end is let pass, as the peer does.
                    if !self.lexer.at_end() {
                        self.report(error);
                    }
                }
                Some(_) => {
                    let result = self
                        .entry(Level::Top, depth)
                        .and_then(|()| self.end_of_top_entry());
                    if let Err(error) = result {
                        self.report_and_resynchronise(error, since);
                    }
                }
            }
        }
    }

    fn end_of_top_entry(&mut self) -> Result<(), LexError> {
        loop {
            self.lexer.skip_blank(Blank::Spaces);
            if self.lexer.skip_comment() {
                return Ok(());
            }
            match self.lexer.peek() {
                None => return Ok(()),
                Some(b'\n' | b'\r' | b';' | b',' | b'}') => {
                    self.lexer.advance(1);
                    return Ok(());
                }
                Some(b'/') => self.lexer.advance(1),
                Some(_) => {
                    return Err(self.lexer.error(format!(
                        "Expected a top-level value to end with a new line, comment or EOF, but got {} instead.",
                        self.lexer.found()
                    )));
                }
            }
        }
    }

    /// Braces that stand where a key could: what is inside belongs to the map outside. Says whether they were closed;
    /// the peer lets the last ones be missing.
    fn bare_braces(&mut self, depth: usize, brace_count: usize) -> bool {
        if brace_count > DEPTH_MAX {
            let at = self.lexer.place();
            self.give_up(at, format!("more than {DEPTH_MAX} braces are open"));
        }
        while !self.stopped {
            self.lexer.skip_blank(Blank::All);
            if self.lexer.skip_comment() {
                continue;
            }
            let since = self.lexer.offset();
            let result = match self.lexer.peek() {
                None => return false,
                Some(b'}') => {
                    self.lexer.advance(1);
                    return true;
                }
                Some(b'{') => {
                    self.lexer.advance(1);
                    if !self.bare_braces(depth, brace_count + 1) {
                        return false;
                    }
                    self.end_of_bare_entry("a block")
                }
                Some(b'/') => Err(self.lexer.error(SINGLE_SLASH)),
                Some(_) => self
                    .entry(Level::Bare, depth)
                    .and_then(|()| self.end_of_bare_entry("a block-level value")),
            };
            if let Err(error) = result {
                self.report_and_resynchronise(error, since);
            }
        }
        false
    }

    fn end_of_bare_entry(&mut self, what: &str) -> Result<(), LexError> {
        loop {
            self.lexer.skip_blank(Blank::Spaces);
            if self.lexer.skip_comment() {
                continue;
            }
            match self.lexer.peek() {
                Some(b'\n' | b'\r' | b';' | b',') => {
                    self.lexer.advance(1);
                    return Ok(());
                }
                Some(b'}') => return Ok(()),
                Some(b'/') => self.lexer.advance(1),
                _ => {
                    return Err(self.lexer.error(format!(
                        "Expected {what} to end with a new line, comma or '}}', but got {} instead.",
                        self.lexer.found()
                    )));
                }
            }
        }
    }

    /// Reads a map whose `{` was read at `start`.
    fn map(&mut self, start: Place, depth: usize) -> Map {
        self.scopes.push(Map::default());
        self.block(Block::Map, start, |parser| parser.entry(Level::Map, depth));
        self.scopes.pop().expect("pushed above")
    }

    /// Reads a list whose `[` was read at `start`.
    fn list(&mut self, start: Place, depth: usize) -> Vec<Node> {
        let mut items = Vec::new();
        self.block(Block::List, start, |parser| {
            let at = parser.lexer.place();
            let value = parser.value(depth, true)?;
            items.push(parser.node(value, at));
            Ok(())
        });
        items
    }

    /// Reads what stands in a map or list up to its end, `item` by item.
    fn block(&mut self, block: Block, start: Place, mut item: impl FnMut(&mut Self) -> Result<(), LexError>) {
        while !self.stopped {
            self.lexer.skip_blank(Blank::All);
            if self.lexer.skip_comment() {
                continue;
            }
            let since = self.lexer.offset();
            let Some(byte) = self.lexer.peek() else {
                let text = format!(
                    "Unexpected EOF processing {}. It starts here and is never closed",
                    block.name()
                );
                self.give_up(start, text);
                break;
            };
            if byte == block.closer() {
                self.lexer.advance(1);
                break;
            }
            if let Some(text) = block.misplaced(byte) {
                let error = self.lexer.error(text);
                if block == Block::List {
                    // The next value may stand right behind it.
                    self.report(error);
                    self.lexer.advance(1);
                } else {
                    self.report_and_resynchronise(error, since);
                }
            } else if let Err(error) = item(self).and_then(|()| self.end_of_item(block)) {
                self.report_and_resynchronise(error, since);
            }
        }
    }

    fn end_of_item(&mut self, block: Block) -> Result<(), LexError> {
        loop {
            self.lexer.skip_blank(Blank::Spaces);
            if self.lexer.skip_comment() {
                continue;
            }
            return match self.lexer.peek() {
                // The block says where it started.
                None => Ok(()),
                Some(byte) if byte == block.closer() => Ok(()),
                Some(byte) if block.ends_item(byte) => {
                    self.lexer.advance(1);
                    Ok(())
                }
                Some(_) => Err(self.lexer.error(format!(
                    "Expected {article} {name} value terminator \",\" or {article} {name} terminator \"{closer}\", but got {found} instead.",
                    article = if block == Block::Map { "a" } else { "an" },
                    name = block.name(),
                    closer = char::from(block.closer()),
                    found = self.lexer.found()
                ))),
            };
        }
    }

    fn node(&self, value: Value, at: Place) -> Node {
        Node {
            value,
            at: self.position(at),
            used_as_variable: false,
        }
    }

    /// Reads a key and its value, or an include, up to what ends it.
    fn entry(&mut self, level: Level, depth: usize) -> Result<(), LexError> {
        let at = self.lexer.place();
        let name = match self.lexer.key()? {
            Key::Include(path) => {
                self.include(&path, at, depth);
                return Ok(());
            }
            Key::Named(name) => name,
        };
        self.lexer.skip_blank(Blank::All);
        let no_value = || LexError {
            at,
            text: format!("config is invalid: key {name:?} has no value"),
        };
        if self.lexer.at_end() {
            return Err(no_value());
        }
        if matches!(self.lexer.peek(), Some(b'=' | b':')) {
            self.lexer.advance(1);
            // Only inside a map may the value stand on a later line than its separator.
            self.lexer.skip_blank(if level == Level::Map {
                Blank::All
            } else {
                Blank::Spaces
            });
        }
        if level == Level::Map && matches!(self.lexer.peek(), Some(b',' | b'}')) {
            return Err(no_value());
        }
        let value = self.value(depth, false)?;
        let node = self.node(value, at);
        self.scope().insert(name.into(), node);
        Ok(())
    }

    fn scope(&mut self) -> &mut Map {
        self.scopes
            .last_mut()
            .expect("the file's own scope is always there")
    }

    /// Reads a value that stands inside `depth` maps and lists, and right inside of a list if `in_list`.
    fn value(&mut self, depth: usize, in_list: bool) -> Result<Value, LexError> {
        let start = self.lexer.place();
        match self.lexer.value(in_list)? {
            ValueStart::Plain(value) => Ok(value),
            ValueStart::Variable(name) => self.variable(&name, start, depth),
            ValueStart::Map | ValueStart::List if depth >= DEPTH_MAX => {
                self.give_up(start, format!("maps and arrays nest more than {DEPTH_MAX} deep"));
                Ok(Value::Bool(false))
            }
            ValueStart::Map => Ok(Value::Map(self.map(start, depth + 1))),
            ValueStart::List => Ok(Value::List(self.list(start, depth + 1))),
        }
    }

    /// The value that `$name` stands for: of the innermost map that has the key by now, else of the environment.
    fn variable(&mut self, name: &str, at: Place, depth: usize) -> Result<Value, LexError> {
        if name.starts_with(BCRYPT_PREFIX) {
            return Ok(Value::Text(format!("${name}").into()));
        }
        let known = self.scopes.iter_mut().rev().find_map(|scope| scope.get_mut(name));
        let value = match known {
            Some(node) => {
                node.used_as_variable = true;
                let measure = node.value.measure();
                if depth + measure.depth > DEPTH_MAX {
                    self.give_up(at, format!("maps and arrays nest more than {DEPTH_MAX} deep"));
                    return Ok(Value::Bool(false));
                }
                let Some(left) = self.load.weight_left.checked_sub(measure.weight) else {
                    let text = format!("variables stand for more than {REFERENCED_WEIGHT_MAX} values in all");
                    self.give_up(at, text);
                    return Ok(Value::Bool(false));
                };
                self.load.weight_left = left;
                Some(node.value.clone())
            }
            None => self.env_variable(name, depth).map_err(|text| LexError {
                at,
                text: format!(
                    "variable reference for '{name}' on line {} could not be parsed: {text}",
                    at.line
                ),
            })?,
        };
        value.ok_or_else(|| LexError {
            at,
            text: format!(
                "variable reference for '{name}' on line {} can not be found",
                at.line
            ),
        })
    }

    fn env_variable(&mut self, name: &str, depth: usize) -> Result<Option<Value>, String> {
        if self.load.env_names.iter().any(|known| known == name) {
            return Err(format!("variable reference cycle for '{name}'"));
        }
        if self.load.env_names.len() >= ENV_DEPTH_MAX {
            return Err(format!("more than {ENV_DEPTH_MAX} variables refer to each other"));
        }
        let Some(text) = self.load.env.var(name) else {
            return Ok(None);
        };
        self.load.env_names.push(name.to_owned());
        let outer_errors = std::mem::take(&mut self.load.errors);
        let text = format!("{ENV_KEY}={text}");
        let map = parse_with(self.load, format!("${name}").into(), text.as_bytes(), depth);
        let errors = std::mem::replace(&mut self.load.errors, outer_errors);
        self.load.env_names.pop();
        match errors.first() {
            Some(error) => Err(error.to_string()),
            None => Ok(map.get(ENV_KEY).map(|node| node.value.clone())),
        }
    }

    /// Puts the entries of another file in place of the include. Its variables are its own; its keys become ours.
    fn include(&mut self, written: &str, at: Place, depth: usize) {
        let path = include_path(&self.file, written);
        let refused = |text: String| LexError {
            at,
            text: format!("error parsing include file '{written}', {text}"),
        };
        if self.load.including.contains(&path) {
            let text = format!("{} is being read already: an include cycle", path.display());
            return self.report(refused(text));
        }
        if self.load.including.len() > INCLUDE_DEPTH_MAX {
            return self.report(refused(format!(
                "more than {INCLUDE_DEPTH_MAX} files include each other"
            )));
        }
        let bytes = match self.load.read.read(&path) {
            Ok(bytes) => bytes,
            Err(error) => return self.report(refused(open_error(&path, &error))),
        };
        let Some(left) = self.load.input_size_left.checked_sub(bytes.len()) else {
            let error = refused(format!(
                "all files together hold more than {INPUT_SIZE_MAX} bytes"
            ));
            return self.give_up(error.at, error.text);
        };
        self.load.input_size_left = left;
        let file = path.to_string_lossy().into();
        self.load.including.push(path);
        let included = parse_with(self.load, file, &bytes, depth);
        self.load.including.pop();
        for (key, node) in included.into_entries() {
            self.scope().insert(key, node);
        }
        if self.load.errors.len() >= ERRORS_MAX {
            self.stopped = true;
        }
    }
}

/// What stands between two brackets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    Map,
    List,
}

impl Block {
    fn name(self) -> &'static str {
        match self {
            Block::Map => "map",
            Block::List => "array",
        }
    }

    fn closer(self) -> u8 {
        match self {
            Block::Map => b'}',
            Block::List => b']',
        }
    }

    fn ends_item(self, byte: u8) -> bool {
        matches!(byte, b'\n' | b'\r' | b',' | b'/') || (self == Block::Map && byte == b';')
    }

    /// What is wrong with a byte where an item must begin.
    fn misplaced(self, byte: u8) -> Option<String> {
        match (self, byte) {
            (Block::Map, b'/') => Some(SINGLE_SLASH.to_owned()),
            (Block::Map, b']') => Some("Unexpected array end ']' processing map.".to_owned()),
            (Block::List, b',' | b'/') => Some(format!(
                "Unexpected array value terminator '{}'.",
                char::from(byte)
            )),
            _ => None,
        }
    }
}

/// Why a file could not be read, in the words that users of the peer know.
fn open_error(path: &Path, error: &std::io::Error) -> String {
    let path = path.display();
    match error.kind() {
        std::io::ErrorKind::NotFound => format!("open {path}: no such file or directory"),
        std::io::ErrorKind::PermissionDenied => format!("open {path}: permission denied"),
        std::io::ErrorKind::IsADirectory => format!("read {path}: is a directory"),
        _ => format!("open {path}: {error}"),
    }
}

#[cfg(test)]
mod tests;
