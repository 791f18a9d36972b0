use std::task::{Context, Poll};

use futures_util::future::{BoxFuture, Either};
use http::{Request, Response, header::CONTENT_TYPE};
use tonic::body::Body;
use tower::{Layer, Service};

use super::Face;

/// Puts the Kubernetes face beside the gRPC services.
#[derive(Clone)]
pub(crate) struct RestLayer {
    face: Face,
}

/// Both faces of one port.
#[derive(Clone)]
pub(crate) struct Faces<S> {
    grpc: S,
    rest: Face,
}

impl RestLayer {
    pub(crate) fn new(face: Face) -> Self {
        Self { face }
    }
}

impl<S> Layer<S> for RestLayer {
    type Service = Faces<S>;

    fn layer(&self, grpc: S) -> Faces<S> {
        Faces {
            grpc,
            rest: self.face.clone(),
        }
    }
}

impl<S> Service<Request<Body>> for Faces<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
    S::Error: 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Either<S::Future, BoxFuture<'static, Result<Response<Body>, S::Error>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.grpc.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if is_grpc(&request) {
            return Either::Left(self.grpc.call(request));
        }
        let rest = self.rest.clone();
        Either::Right(Box::pin(async move { Ok(rest.answer(request).await) }))
    }
}

fn is_grpc<B>(request: &Request<B>) -> bool {
    request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}
