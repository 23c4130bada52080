//! The guard of a pool, which is an executor of sqlx itself.

use std::fmt;
use std::ops::Deref;

use backing_services_runtime::Service;
use backing_services_runtime::resource::ClientGuard;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;
use sqlx::pool::PoolConnection;
use sqlx::{
    Acquire, Database, Describe, Either, Error, Execute, Executor, Pool, SqlStr, Transaction,
};

/// A guard on a pool of sqlx. A reference to it is an [`Executor`], as one to the pool is, so a
/// statement is one line:
///
/// ```
/// # use backing_services::{Resource, Sqlite, sqlx};
/// # async fn settle(orders: &Resource<Sqlite>) -> sqlx::Result<()> {
/// sqlx::query("DELETE FROM orders WHERE paid").execute(&orders.client()).await?;
/// # Ok(())
/// # }
/// ```
///
/// A statement borrows the guard until its answer, and so does a stream of rows until its end. The
/// pool is open until then. So a guard that would be dropped before the stream does not compile:
///
/// ```compile_fail,E0716
/// # use backing_services::{Resource, Sqlite, sqlx};
/// # fn list(orders: &Resource<Sqlite>) {
/// let rows = sqlx::query("SELECT id FROM orders").fetch(&orders.client());
/// drop(rows);
/// # }
/// ```
///
/// Give it a name:
///
/// ```
/// # use backing_services::{Resource, Sqlite, sqlx};
/// # fn list(orders: &Resource<Sqlite>) {
/// let orders = orders.client();
/// let rows = sqlx::query("SELECT id FROM orders").fetch(&orders);
/// drop(rows);
/// # }
/// ```
///
/// A transaction and a connection do not borrow the guard: hold one beside them, so that detaching
/// waits for more than what is being executed.
///
/// # If it does not compile
/// sqlx requires one more method of an executor if its feature `offline` is on, which its macros
/// switch on. A crate cannot see the features of another one, so the services on sqlx always switch
/// it on, each for its own driver. If a program enables a further driver of sqlx itself, without
/// sqlx's `macros` and without our service, that driver lacks the method: "not all trait items
/// implemented, missing: `describe`". Enable sqlx's `macros`, as its default features do.
pub struct PoolGuard<S: Service>(ClientGuard<S>);

impl<S: Service> From<ClientGuard<S>> for PoolGuard<S> {
    fn from(guard: ClientGuard<S>) -> Self {
        Self(guard)
    }
}

impl<S: Service> Deref for PoolGuard<S> {
    type Target = S::Client;

    fn deref(&self) -> &S::Client {
        &self.0
    }
}

// The pool's own output would show the options of its connections.
impl<S: Service> fmt::Debug for PoolGuard<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolGuard<{}>", S::NAME)
    }
}

impl<'c, S, DB> Executor<'c> for &'c PoolGuard<S>
where
    S: Service<Client = Pool<DB>>,
    DB: Database,
    for<'a> &'a mut DB::Connection: Executor<'a, Database = DB>,
{
    type Database = DB;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<DB::QueryResult, DB::Row>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        Executor::fetch_many(&**self, query)
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<DB::Row>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, DB>,
    {
        Executor::fetch_optional(&**self, query)
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [DB::TypeInfo],
    ) -> BoxFuture<'e, Result<DB::Statement, Error>>
    where
        'c: 'e,
    {
        Executor::prepare_with(&**self, sql, parameters)
    }

    // A method of the trait only with sqlx's `offline`, which this crate switches on for that.
    #[doc(hidden)]
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<DB>, Error>>
    where
        'c: 'e,
    {
        Executor::describe(&**self, sql)
    }
}

// Not `&'c`: a transaction that borrows the guard could not be begun by
// `services.orders.client().begin()`.
impl<'c, S, DB> Acquire<'c> for &PoolGuard<S>
where
    S: Service<Client = Pool<DB>>,
    DB: Database,
{
    type Database = DB;
    type Connection = PoolConnection<DB>;

    fn acquire(self) -> BoxFuture<'c, Result<PoolConnection<DB>, Error>> {
        Box::pin((**self).acquire())
    }

    fn begin(self) -> BoxFuture<'c, Result<Transaction<'c, DB>, Error>> {
        Acquire::begin(&**self)
    }
}
