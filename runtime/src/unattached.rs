//! What stands for the generations of a resource without the feature `net`: nothing is attached then, and there is no resource.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::posture::Posture;
use crate::service::Service;

pub(crate) struct Shared<S: Service>(Infallible, PhantomData<S>);

pub(crate) struct User<S: Service>(Infallible, PhantomData<S>);

impl<S: Service> Shared<S> {
    pub(crate) fn user(&self) -> User<S> {
        match self.0 {}
    }

    pub(crate) fn posture(&self) -> Arc<Posture> {
        match self.0 {}
    }

    pub(crate) fn field(&self) -> &str {
        match self.0 {}
    }
}

impl<S: Service> User<S> {
    pub(crate) fn client(&self) -> &S::Client {
        match self.0 {}
    }
}
