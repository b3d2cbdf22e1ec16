// SPDX-License-Identifier: Apache-2.0
//! Reading a template: actions between `{{` and `}}`, and the text around them.

use super::{Expr, FIELDS, MAPS, Part, TemplateError};

/// How deep brackets and conditions may stand in each other.
const MAX_DEPTH: usize = 32;

/// The parts of `text`.
pub(super) fn template(text: &str) -> Result<Vec<Part>, TemplateError> {
    let mut pieces = pieces(text)?.into_iter();
    match block(&mut pieces, 0)? {
        (parts, None) => Ok(parts),
        (_, Some(end)) => Err(end.fault("there is no if for this")),
    }
}

/// Text, or an action.
enum Piece {
    Text(String),
    Action(Action),
}

/// The words of an action, and where it begins.
struct Action {
    words: Vec<Word>,
    at: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Name(String),
    Quoted(String),
    Open,
    Close,
}

impl Action {
    fn fault(&self, what: &str) -> TemplateError {
        fault(self.at, what)
    }

    fn begins(&self, name: &str) -> bool {
        matches!(self.words.first(), Some(Word::Name(first)) if first == name)
    }
}

fn fault(at: usize, what: &str) -> TemplateError {
    TemplateError { what: what.to_owned(), at: at + 1 }
}

fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trim = false;
    while let Some((before, after)) = rest.split_once("{{") {
        let at = text.len() - after.len() - 2;
        let (inside, after) = action(after).ok_or_else(|| fault(at, "{{ has no }}"))?;
        // A dash is one only beside white space: `{{-3}}` is a number.
        let left = inside.strip_prefix('-').filter(|rest| rest.starts_with(char::is_whitespace));
        let right = inside.strip_suffix('-').filter(|rest| rest.ends_with(char::is_whitespace));
        let begun = if trim { before.trim_start() } else { before };
        let begun = if left.is_some() { begun.trim_end() } else { begun };
        pieces.push(Piece::Text(begun.to_owned()));
        let inside = left.unwrap_or(inside);
        let inside =
            if right.is_some() { inside.strip_suffix('-').unwrap_or(inside) } else { inside };
        let inside = inside.trim();
        if !(inside.starts_with("/*") && inside.ends_with("*/")) {
            pieces.push(Piece::Action(Action { words: words(inside, at)?, at }));
        }
        (rest, trim) = (after, right.is_some());
    }
    let end = if trim { rest.trim_start() } else { rest };
    pieces.push(Piece::Text(end.to_owned()));
    Ok(pieces)
}

/// What stands before the `}}` that ends an action, and after it; one in quotes ends nothing.
fn action(text: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '`' => quote = Some(c),
            None => {
                if let Some(after) = text.get(at..).and_then(|rest| rest.strip_prefix("}}")) {
                    return Some((text.get(..at)?, after));
                }
            }
        }
    }
    None
}

fn words(inside: &str, at: usize) -> Result<Vec<Word>, TemplateError> {
    let mut words = Vec::new();
    let mut chars = inside.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '(' => words.push(Word::Open),
            ')' => words.push(Word::Close),
            '"' | '`' => {
                let mut text = String::new();
                loop {
                    match chars.next() {
                        Some(end) if end == c => break,
                        Some('\\') if c == '"' => match chars.next() {
                            Some(same @ ('"' | '\\')) => text.push(same),
                            _ => return Err(fault(at, "\\ stands before \" and \\ only")),
                        },
                        Some(other) => text.push(other),
                        None => return Err(fault(at, "a quote has no end")),
                    }
                }
                words.push(Word::Quoted(text));
            }
            c if c.is_whitespace() => {}
            c => {
                let mut name = String::from(c);
                while let Some(next) =
                    chars.next_if(|next| !"()\"`".contains(*next) && !next.is_whitespace())
                {
                    name.push(next);
                }
                words.push(Word::Name(name));
            }
        }
    }
    Ok(words)
}

/// Parts up to an `else` or `end`, which is given back, or to the end of all.
fn block(
    pieces: &mut std::vec::IntoIter<Piece>,
    depth: usize,
) -> Result<(Vec<Part>, Option<Action>), TemplateError> {
    let mut parts = Vec::new();
    while let Some(piece) = pieces.next() {
        let action = match piece {
            Piece::Text(text) if text.is_empty() => continue,
            Piece::Text(text) => {
                parts.push(Part::Text(text));
                continue;
            }
            Piece::Action(action) => action,
        };
        if action.begins("else") || action.begins("end") {
            return Ok((parts, Some(action)));
        }
        if action.begins("if") {
            parts.push(condition(&action, 1, pieces, depth + 1)?);
        } else {
            parts.push(Part::Value(expression(&action, 0)?));
        }
    }
    Ok((parts, None))
}

/// An `if` whose condition begins at the word `from` of `action`, with all that belongs to it.
fn condition(
    action: &Action,
    from: usize,
    pieces: &mut std::vec::IntoIter<Piece>,
    depth: usize,
) -> Result<Part, TemplateError> {
    if depth > MAX_DEPTH {
        return Err(action.fault("conditions stand in each other too deeply"));
    }
    let condition = expression(action, from)?;
    let (then, end) = block(pieces, depth)?;
    let end = end.ok_or_else(|| action.fault("if has no end"))?;
    if end.begins("end") {
        return Ok(Part::If { condition, then, otherwise: Vec::new() });
    }
    if matches!(end.words.get(1), Some(Word::Name(next)) if next == "if") {
        let otherwise = vec![self::condition(&end, 2, pieces, depth + 1)?];
        return Ok(Part::If { condition, then, otherwise });
    }
    match block(pieces, depth)? {
        (otherwise, Some(end)) if end.begins("end") => Ok(Part::If { condition, then, otherwise }),
        (_, Some(again)) => Err(again.fault("this else comes after an else")),
        (_, None) => Err(end.fault("else has no end")),
    }
}

/// The words of `action` from `from` on, as one expression.
fn expression(action: &Action, from: usize) -> Result<Expr, TemplateError> {
    let mut words = action.words.get(from..).unwrap_or_default().iter();
    let terms = terms(action, &mut words, 0)?;
    if words.next().is_some() {
        return Err(action.fault("there is no ( for a )"));
    }
    call(action, terms)
}

/// A word that is no expression yet, or an expression.
enum Term {
    Name(String),
    Expr(Expr),
}

fn terms(
    action: &Action,
    words: &mut std::slice::Iter<'_, Word>,
    depth: usize,
) -> Result<Vec<Term>, TemplateError> {
    let mut terms = Vec::new();
    loop {
        match words.as_slice().first() {
            None if depth > 0 => return Err(action.fault("a ( has no )")),
            None => return Ok(terms),
            Some(Word::Close) if depth == 0 => return Ok(terms),
            Some(word) => {
                words.next();
                match word {
                    Word::Close => return Ok(terms),
                    Word::Open if depth == MAX_DEPTH => {
                        return Err(action.fault("brackets stand in each other too deeply"));
                    }
                    Word::Open => {
                        let inside = self::terms(action, words, depth + 1)?;
                        terms.push(Term::Expr(call(action, inside)?));
                    }
                    Word::Quoted(text) => terms.push(Term::Expr(Expr::Text(text.clone()))),
                    Word::Name(name) => terms.push(Term::Name(name.clone())),
                }
            }
        }
    }
}

/// A value alone, or a function and what it is given.
fn call(action: &Action, terms: Vec<Term>) -> Result<Expr, TemplateError> {
    let wrong = |what: String| action.fault(&what);
    let mut terms = terms.into_iter();
    let name = match terms.next() {
        None => return Err(action.fault("there is nothing between the brackets")),
        Some(Term::Name(name)) if !name.starts_with('.') => name,
        Some(term) => {
            if terms.next().is_some() {
                return Err(action.fault("a value takes nothing behind it"));
            }
            return value(action, term);
        }
    };
    if name == "index" {
        let map = match terms.next() {
            Some(Term::Name(map)) => MAPS.iter().find(|(known, _)| *known == map),
            _ => None,
        };
        let (_, map) = map.ok_or_else(|| {
            action.fault("index looks into .Meta.Labels or .Meta.Annotations only")
        })?;
        return match (terms.next(), terms.next()) {
            (Some(key), None) => Ok(Expr::Of(*map, Box::new(value(action, key)?))),
            _ => Err(action.fault("index takes one key")),
        };
    }
    let given: Vec<Expr> = terms.map(|term| value(action, term)).collect::<Result<_, _>>()?;
    match (name.as_str(), given.len()) {
        ("and", 1..) => Ok(Expr::And(given)),
        ("or", 1..) => Ok(Expr::Or(given)),
        ("not" | "eq" | "ne", _) => {
            let mut given = given.into_iter();
            match (name.as_str(), given.next(), given.len()) {
                ("not", Some(only), 0) => Ok(Expr::Not(Box::new(only))),
                ("eq", Some(first), 1..) => Ok(Expr::Eq(Box::new(first), given.collect())),
                ("ne", Some(first), 1) => {
                    let other = given.next().unwrap_or(Expr::Text(String::new()));
                    Ok(Expr::Ne(Box::new(first), Box::new(other)))
                }
                _ => Err(wrong(format!("{name} is given too little or too much"))),
            }
        }
        ("and" | "or", _) => Err(wrong(format!("{name} is given too little"))),
        _ => Err(wrong(format!("{name} is no function that is known here"))),
    }
}

fn value(action: &Action, term: Term) -> Result<Expr, TemplateError> {
    match term {
        Term::Expr(expr) => Ok(expr),
        Term::Name(name) => {
            if let Some((_, field)) = FIELDS.iter().find(|(known, _)| *known == name) {
                return Ok(Expr::Field(*field));
            }
            // A key that can be a field's name may stand behind a dot.
            let key = MAPS
                .iter()
                .find_map(|(map, of)| Some((*of, name.strip_prefix(map)?.strip_prefix('.')?)));
            match key {
                Some((map, key)) if !key.is_empty() && !key.contains('.') => {
                    Ok(Expr::Of(map, Box::new(Expr::Text(key.to_owned()))))
                }
                _ => Err(action.fault(&format!("{name} is no field that is known here"))),
            }
        }
    }
}
