//! The routes, each with the types of its request and of its answer: a call that does not fit does not compile.

use std::marker::PhantomData;

use crate::operation::Operation;
use crate::routes::Method;

/// One route: what is asked, and what is answered.
#[derive(Debug)]
pub(super) struct Endpoint<Request: ?Sized, Answer> {
    /// The operation.
    pub(super) operation: Operation,
    /// The HTTP method.
    pub(super) method: Method,
    /// The path, with members of the request in braces.
    pub(super) path: &'static str,
    types: PhantomData<fn(&Request) -> Answer>,
}

// Derived ones would ask the same of the types.
impl<Request: ?Sized, Answer> Copy for Endpoint<Request, Answer> {}

impl<Request: ?Sized, Answer> Clone for Endpoint<Request, Answer> {
    fn clone(&self) -> Self {
        *self
    }
}

macro_rules! request {
    () => {
        ()
    };
    ($request:ty) => {
        $request
    };
}

macro_rules! endpoints {
    ($($kind:ident $operation:ident $name:ident($($request:ty)?) -> $answer:ty, $method:ident $path:literal, $status:literal;)+) => {$(
        pub(super) const fn $name() -> Endpoint<request!($($request)?), $answer> {
            Endpoint {
                operation: Operation::$operation,
                method: Method::$method,
                path: $path,
                types: PhantomData,
            }
        }
    )+};
}

crate::for_each_route!(endpoints);
