//! A store that can be closed while the application still holds it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    ObjectMeta, ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart,
};

/// The name of the store in object_store's errors.
const NAME: &str = "S3";

/// The interval at which closing counts the transfers.
const COUNTING: Duration = Duration::from_millis(10);

/// Takes what a slot holds at once. The future waits until no one else holds it.
pub(crate) fn close<T>(slot: &ArcSwapOption<T>) -> impl Future<Output = ()> + use<T> {
    let held = slot.swap(None);
    async move {
        // Each holder has a clone: the count is the only signal of its end.
        while held.as_ref().is_some_and(|held| Arc::strong_count(held) > 1) {
            tokio::time::sleep(COUNTING).await;
        }
    }
}

/// A store until it is closed. Transfers that have begun hold the store itself, and go on.
pub(crate) struct Closable<T>(ArcSwapOption<T>);

impl<T: ObjectStore> Closable<T> {
    pub(crate) fn new(store: T) -> Self {
        Self(ArcSwapOption::from_pointee(store))
    }

    /// Refuses new calls at once. The future waits for the end of the last transfer.
    pub(crate) fn close(&self) -> impl Future<Output = ()> + use<T> {
        close(&self.0)
    }

    fn store(&self) -> Result<Arc<T>> {
        self.0.load_full().ok_or_else(closed)
    }
}

fn closed() -> Error {
    Error::Generic { store: NAME, source: "the resource is detached: attach it again".into() }
}

/// A stream that holds the store until it is dropped.
fn holding<T, I>(store: Arc<T>, stream: BoxStream<'static, I>) -> BoxStream<'static, I>
where
    T: Send + Sync + 'static,
    I: 'static,
{
    stream
        .inspect(move |_| {
            let _held = &store;
        })
        .boxed()
}

/// An upload in parts that holds the store until it is dropped.
struct HeldUpload<T> {
    upload: Box<dyn MultipartUpload>,
    store: Arc<T>,
}

impl<T> fmt::Debug for HeldUpload<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeldUpload")
    }
}

#[async_trait::async_trait]
impl<T: ObjectStore> MultipartUpload for HeldUpload<T> {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, store) = (self.upload.put_part(data), Arc::clone(&self.store));
        Box::pin(async move {
            let _held = store;
            part.await
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.upload.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.upload.abort().await
    }
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
        let store = self.store()?;
        let upload = store.put_multipart_opts(location, options).await?;
        Ok(Box::new(HeldUpload { upload, store }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let store = self.store()?;
        let mut found = store.get_opts(location, options).await?;
        #[allow(irrefutable_let_patterns, reason = "object_store's feature `fs` adds a payload")]
        let GetResultPayload::Stream(body) = found.payload else {
            return Ok(found);
        };
        found.payload = GetResultPayload::Stream(holding(store, body));
        Ok(found)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.store()?.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.store() {
            Ok(store) => {
                let stream = store.delete_stream(locations);
                holding(store, stream)
            }
            Err(error) => failed(error),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.store() {
            Ok(store) => {
                let stream = store.list(prefix);
                holding(store, stream)
            }
            Err(error) => failed(error),
        }
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.store() {
            Ok(store) => {
                let stream = store.list_with_offset(prefix, offset);
                holding(store, stream)
            }
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

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;
    use object_store::memory::InMemory;
    use object_store::{ObjectStoreExt as _, PutMode};

    use super::*;

    /// Fails the test if closing does not end.
    const SOON: Duration = Duration::from_secs(10);

    /// A store with three objects.
    async fn filled() -> Closable<InMemory> {
        let store = Closable::new(InMemory::new());
        for key in ["a", "b", "c"] {
            store.put(&Path::from(key), key.into()).await.unwrap();
        }
        store
    }

    /// Closing waits for this transfer, and ends after it.
    async fn waited_for<T>(store: &Closable<InMemory>, transfer: T, end: impl AsyncFnOnce(T)) {
        let mut closing = Box::pin(store.close());
        let early = tokio::time::timeout(3 * COUNTING, closing.as_mut()).await;
        assert!(early.is_err(), "the transfer has not ended");
        assert!(store.head(&Path::from("a")).await.is_err(), "new calls are refused");
        end(transfer).await;
        tokio::time::timeout(SOON, closing).await.unwrap();
    }

    #[tokio::test]
    async fn each_new_call_fails_after_closing() {
        let store = filled().await;
        tokio::time::timeout(SOON, store.close()).await.unwrap();
        let (at, other) = (Path::from("a"), Path::from("d"));
        let keys = || stream::iter([Ok(Path::from("a"))]).boxed();
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let (copy, rename) = (CopyOptions::default(), RenameOptions::default());
        let errors = [
            store.put_opts(&other, "d".into(), options).await.map(drop),
            store.put_multipart(&other).await.map(drop),
            store.get_opts(&at, GetOptions::default()).await.map(drop),
            store.get_ranges(&at, &[0..1, 0..1]).await.map(drop),
            store.delete_stream(keys()).try_collect::<Vec<_>>().await.map(drop),
            store.list(None).try_collect::<Vec<_>>().await.map(drop),
            store.list_with_offset(None, &at).try_collect::<Vec<_>>().await.map(drop),
            store.list_with_delimiter(None).await.map(drop),
            store.copy_opts(&at, &other, copy).await,
            store.rename_opts(&at, &other, rename).await,
        ];
        for (place, outcome) in errors.into_iter().enumerate() {
            let error = outcome.unwrap_err().to_string();
            assert!(error.contains("the resource is detached"), "call {place}: {error}");
        }
    }

    #[tokio::test]
    async fn a_transfer_that_has_begun_goes_on_and_is_waited_for() {
        let store = filled().await;
        let found = store.get(&Path::from("a")).await.unwrap();
        waited_for(&store, found, async |found| assert_eq!(found.bytes().await.unwrap(), "a"))
            .await;

        let store = filled().await;
        waited_for(&store, store.list(None), async |list| {
            assert_eq!(list.try_collect::<Vec<_>>().await.unwrap().len(), 3);
        })
        .await;

        let store = filled().await;
        let rest = store.list_with_offset(None, &Path::from("a"));
        waited_for(&store, rest, async |list| {
            assert_eq!(list.try_collect::<Vec<_>>().await.unwrap().len(), 2);
        })
        .await;

        let store = filled().await;
        let keys = stream::iter(["a", "b"]).map(|key| Ok(Path::from(key))).boxed();
        waited_for(&store, store.delete_stream(keys), async |deleted| {
            assert_eq!(deleted.try_collect::<Vec<_>>().await.unwrap().len(), 2);
        })
        .await;

        let store = filled().await;
        let mut upload = store.put_multipart(&Path::from("d")).await.unwrap();
        let part = upload.put_part("d".into());
        waited_for(&store, (upload, part), async |(mut upload, part)| {
            part.await.unwrap();
            upload.complete().await.unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn a_part_is_waited_for_even_if_its_upload_is_dropped() {
        let store = filled().await;
        let mut upload = store.put_multipart(&Path::from("d")).await.unwrap();
        let part = upload.put_part("d".into());
        drop(upload);
        waited_for(&store, part, async |part| drop(part)).await;
    }
}
