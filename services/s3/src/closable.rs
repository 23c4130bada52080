//! A store that can be closed while the application still holds it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

/// The name of the store in object_store's errors.
const NAME: &str = "S3";

/// A store until it is closed. Transfers that have begun hold the store itself, and go on.
pub(crate) struct Closable<T>(ArcSwapOption<T>);

impl<T: ObjectStore> Closable<T> {
    pub(crate) fn new(store: T) -> Self {
        Self(ArcSwapOption::from_pointee(store))
    }

    /// Drops the store. Its connections close after the last transfer.
    pub(crate) fn close(&self) {
        self.0.store(None);
    }

    fn store(&self) -> Result<Arc<T>> {
        self.0.load_full().ok_or_else(closed)
    }
}

fn closed() -> Error {
    Error::Generic { store: NAME, source: "the resource is detached: attach it again".into() }
}

/// A stream of one error.
fn failed<T: Send + 'static>(error: Error) -> BoxStream<'static, Result<T>> {
    stream::iter([Err(error)]).boxed()
}

impl<T> fmt::Debug for Closable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

impl<T> fmt::Display for Closable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)
    }
}

#[async_trait::async_trait]
impl<T: ObjectStore> ObjectStore for Closable<T> {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.store()?.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.store()?.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.store()?.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.store()?.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.store() {
            Ok(store) => store.delete_stream(locations),
            Err(error) => failed(error),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.store() {
            Ok(store) => store.list(prefix),
            Err(error) => failed(error),
        }
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.store() {
            Ok(store) => store.list_with_offset(prefix, offset),
            Err(error) => failed(error),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.store()?.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.store()?.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.store()?.rename_opts(from, to, options).await
    }
}
