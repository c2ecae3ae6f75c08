//! The grammar, by recursive descent. Nesting is bounded, so no text overflows the stack.
//!
//! ```text
//! or      = and { OR and }
//! and     = not { AND not }
//! not     = NOT not | primary
//! primary = '(' or ')' | name [ op literal | [NOT] IN '(' literal { ',' literal } ')' ]
//! ```

use super::{Expression, Operator, Value};
use crate::contract::RecommendError;

/// Deepest nesting of parentheses and NOT.
const MAX_DEPTH: usize = 32;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Open,
    Close,
    Comma,
    And,
    Or,
    Not,
    In,
    Operator(Operator),
    Name(Box<str>),
    Literal(Value),
}

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Result<Expression, RecommendError> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0, end: text.chars().count() };
    let expression = parser.or()?;
    match parser.peek() {
        None => Ok(expression),
        Some(_) => Err(parser.expected("AND, OR or the end")),
    }
}

fn refused(at: usize, detail: &str) -> RecommendError {
    RecommendError::UnsupportedFilter { at, detail: detail.to_owned() }
}

/// Tokens with the character at which each begins.
fn tokens(text: &str) -> Result<Vec<(usize, Token)>, RecommendError> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&c) = chars.get(at) {
        if c.is_whitespace() {
            at += 1;
            continue;
        }
        let (token, next) = token(&chars, at)?;
        tokens.push((at, token));
        at = next;
    }
    Ok(tokens)
}

/// The token at `at` and where the next may begin.
fn token(chars: &[char], at: usize) -> Result<(Token, usize), RecommendError> {
    let follows = |c| chars.get(at + 1) == Some(&c);
    let one = |token| Ok((token, at + 1));
    let operator = |operator, length| Ok((Token::Operator(operator), at + length));
    match chars[at] {
        '(' => one(Token::Open),
        ')' => one(Token::Close),
        ',' => one(Token::Comma),
        '=' if follows('=') => operator(Operator::Equal, 2),
        '=' => operator(Operator::Equal, 1),
        '!' if follows('=') => operator(Operator::NotEqual, 2),
        '<' if follows('>') => operator(Operator::NotEqual, 2),
        '<' if follows('=') => operator(Operator::LessOrEqual, 2),
        '<' => operator(Operator::Less, 1),
        '>' if follows('=') => operator(Operator::GreaterOrEqual, 2),
        '>' => operator(Operator::Greater, 1),
        quote @ ('\'' | '"') => quoted(chars, at, quote),
        c if c.is_ascii_digit() || c == '-' => number(chars, at),
        c if c.is_alphabetic() || c == '_' => Ok(word(chars, at)),
        _ => Err(refused(at, "a character that no expression holds")),
    }
}

/// Text in quotes; a doubled quote stands for one.
fn quoted(chars: &[char], start: usize, quote: char) -> Result<(Token, usize), RecommendError> {
    let mut text = String::new();
    let mut at = start + 1;
    loop {
        match chars.get(at) {
            None => return Err(refused(start, "text that is not closed")),
            Some(&c) if c != quote => text.push(c),
            Some(_) if chars.get(at + 1) == Some(&quote) => {
                text.push(quote);
                at += 1;
            }
            Some(_) => return Ok((Token::Literal(Value::Text(text.into())), at + 1)),
        }
        at += 1;
    }
}

fn number(chars: &[char], start: usize) -> Result<(Token, usize), RecommendError> {
    let belongs = |at: usize| match chars.get(at) {
        Some('+' | '-') => at == start || matches!(chars[at - 1], 'e' | 'E'),
        Some(c) => c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E'),
        None => false,
    };
    let mut at = start;
    while belongs(at) {
        at += 1;
    }
    let text: String = chars[start..at].iter().collect();
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok((Token::Literal(Value::Number(number)), at)),
        Ok(_) | Err(_) => Err(refused(start, "not a number")),
    }
}

fn word(chars: &[char], start: usize) -> (Token, usize) {
    let mut at = start;
    while chars.get(at).is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '-')) {
        at += 1;
    }
    let text: String = chars[start..at].iter().collect();
    let token = match text.to_ascii_lowercase().as_str() {
        "and" => Token::And,
        "or" => Token::Or,
        "not" => Token::Not,
        "in" => Token::In,
        "true" => Token::Literal(Value::Truth(true)),
        "false" => Token::Literal(Value::Truth(false)),
        _ => Token::Name(text.into()),
    };
    (token, at)
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: usize,
    end: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|(_, token)| token)
    }

    /// Steps over `token` if it is next.
    fn eat(&mut self, token: &Token) -> bool {
        let next = self.peek() == Some(token);
        self.at += usize::from(next);
        next
    }

    fn expected(&self, what: &str) -> RecommendError {
        let at = self.tokens.get(self.at).map_or(self.end, |(at, _)| *at);
        refused(at, &format!("expected {what}"))
    }

    fn or(&mut self) -> Result<Expression, RecommendError> {
        let mut any = vec![self.and()?];
        while self.eat(&Token::Or) {
            any.push(self.and()?);
        }
        Ok(single_or(any, Expression::Or))
    }

    fn and(&mut self) -> Result<Expression, RecommendError> {
        let mut all = vec![self.not()?];
        while self.eat(&Token::And) {
            all.push(self.not()?);
        }
        Ok(single_or(all, Expression::And))
    }

    fn not(&mut self) -> Result<Expression, RecommendError> {
        if self.depth == MAX_DEPTH {
            return Err(self.expected("fewer levels of nesting"));
        }
        self.depth += 1;
        let expression = if self.eat(&Token::Not) {
            Expression::Not(Box::new(self.not()?))
        } else {
            self.primary()?
        };
        self.depth -= 1;
        Ok(expression)
    }

    fn primary(&mut self) -> Result<Expression, RecommendError> {
        if self.eat(&Token::Open) {
            let inner = self.or()?;
            return if self.eat(&Token::Close) { Ok(inner) } else { Err(self.expected("')'")) };
        }
        let Some(Token::Name(name)) = self.peek().cloned() else {
            return Err(self.expected("an attribute, NOT or '('"));
        };
        self.at += 1;
        match self.peek() {
            Some(&Token::Operator(operator)) => {
                self.at += 1;
                Ok(Expression::Compare { name, operator, value: self.literal()? })
            }
            Some(Token::In) => self.listed(name, false),
            Some(Token::Not) => {
                self.at += 1;
                self.listed(name, true)
            }
            Some(_) | None => Ok(Expression::True(name)),
        }
    }

    fn listed(&mut self, name: Box<str>, negated: bool) -> Result<Expression, RecommendError> {
        if !self.eat(&Token::In) {
            return Err(self.expected("IN"));
        }
        if !self.eat(&Token::Open) {
            return Err(self.expected("'('"));
        }
        let mut values = vec![self.literal()?];
        while self.eat(&Token::Comma) {
            values.push(self.literal()?);
        }
        if !self.eat(&Token::Close) {
            return Err(self.expected("',' or ')'"));
        }
        Ok(Expression::In { name, values, negated })
    }

    fn literal(&mut self) -> Result<Value, RecommendError> {
        let Some(Token::Literal(value)) = self.peek().cloned() else {
            return Err(self.expected("a number, 'text', TRUE or FALSE"));
        };
        self.at += 1;
        Ok(value)
    }
}

fn single_or(mut parts: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    if parts.len() == 1 { parts.remove(0) } else { join(parts) }
}
