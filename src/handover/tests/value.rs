//! A body as a tree, so that tests can change it as another version would have written it.

use minicbor::data::Type;
use minicbor::{Decoder, Encoder};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A structure's numbered fields.
    Map(Vec<(u64, Value)>),
    Array(Vec<Value>),
    /// Anything else, as encoded.
    Leaf(Vec<u8>),
}

impl Value {
    pub fn of(number: impl minicbor::Encode<()>) -> Value {
        Value::Leaf(minicbor::to_vec(number).unwrap())
    }

    pub fn read(bytes: &[u8]) -> Value {
        let mut decoder = Decoder::new(bytes);
        let value = Value::next(&mut decoder);
        assert_eq!(decoder.position(), bytes.len());
        value
    }

    fn next(decoder: &mut Decoder<'_>) -> Value {
        match decoder.datatype().unwrap() {
            Type::Map => {
                let count = decoder.map().unwrap().unwrap();
                let field = |_| (decoder.u64().unwrap(), Value::next(decoder));
                Value::Map((0..count).map(field).collect())
            }
            Type::Array => {
                let count = decoder.array().unwrap().unwrap();
                Value::Array((0..count).map(|_| Value::next(decoder)).collect())
            }
            _ => {
                let from = decoder.position();
                decoder.skip().unwrap();
                Value::Leaf(decoder.input()[from..decoder.position()].to_vec())
            }
        }
    }

    pub fn write(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.append(&mut bytes);
        bytes
    }

    fn append(&self, bytes: &mut Vec<u8>) {
        match self {
            Value::Map(fields) => {
                Encoder::new(&mut *bytes).map(fields.len() as u64).unwrap();
                for (number, value) in fields {
                    Encoder::new(&mut *bytes).u64(*number).unwrap();
                    value.append(bytes);
                }
            }
            Value::Array(values) => {
                Encoder::new(&mut *bytes).array(values.len() as u64).unwrap();
                values.iter().for_each(|value| value.append(bytes));
            }
            Value::Leaf(leaf) => bytes.extend_from_slice(leaf),
        }
    }

    /// Where the structures are: the numbers and indices that lead to each.
    pub fn maps(&self) -> Vec<Vec<u64>> {
        let mut found = Vec::new();
        self.find_maps(&mut Vec::new(), &mut found);
        found
    }

    fn find_maps(&self, path: &mut Vec<u64>, found: &mut Vec<Vec<u64>>) {
        let mut inner = |number: u64, value: &Value| {
            path.push(number);
            value.find_maps(path, found);
            path.pop();
        };
        match self {
            Value::Map(fields) => {
                fields.iter().for_each(|(number, value)| inner(*number, value));
                found.push(path.clone());
            }
            Value::Array(values) => (0..).zip(values).for_each(|(at, value)| inner(at, value)),
            Value::Leaf(_) => {}
        }
    }

    /// What stands there.
    pub fn at(&mut self, path: &[u64]) -> &mut Value {
        let Some((first, rest)) = path.split_first() else {
            return self;
        };
        let inner = match self {
            Value::Map(fields) => &mut fields.iter_mut().find(|field| field.0 == *first).unwrap().1,
            Value::Array(values) => &mut values[*first as usize],
            Value::Leaf(_) => panic!("nothing is in a leaf"),
        };
        inner.at(rest)
    }

    pub fn fields(&mut self) -> &mut Vec<(u64, Value)> {
        match self {
            Value::Map(fields) => fields,
            other => panic!("{other:?} has no fields"),
        }
    }
}
