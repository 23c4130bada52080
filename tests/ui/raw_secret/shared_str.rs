use backing_services::BackingServices;

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

#[derive(BackingServices)]
struct Services {
    first: Box<str>,
    second: Arc<str>,
    third: Rc<str>,
    fourth: Cow<'static, str>,
    fifth: std::string::String,
}

fn main() {}
