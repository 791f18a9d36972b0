use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use tokio::sync::watch;

use crate::{
    Genesis, Grant, Leadership, Member, MemberId, Outcome, Revision, StoreConfig, StoreError,
    StoreStatus, Transaction, View, Watch, WatchError, WatchScope,
    disk::Disk,
    transport::{Receive, Transport},
};

/// One member of the replicated store.
#[derive(Clone)]
pub struct Store {}

#[allow(missing_docs, unused_variables, clippy::unused_async)]
impl Store {
    pub async fn create(config: StoreConfig, disk: Arc<dyn Disk>, net: Arc<dyn Transport>, genesis: Genesis) -> Result<Self, StoreError> { Err(StoreError::Stopped) }
    pub async fn open(config: StoreConfig, disk: Arc<dyn Disk>, net: Arc<dyn Transport>) -> Result<Self, StoreError> { Err(StoreError::Stopped) }
    pub async fn join(config: StoreConfig, disk: Arc<dyn Disk>, net: Arc<dyn Transport>, grant: Grant) -> Result<Self, StoreError> { Err(StoreError::Stopped) }
    pub async fn restore(config: StoreConfig, disk: Arc<dyn Disk>, net: Arc<dyn Transport>, genesis: Genesis, backup: BoxStream<'static, std::io::Result<Bytes>>) -> Result<Self, StoreError> { Err(StoreError::Stopped) }
    pub async fn propose(&self, transaction: Transaction) -> Result<Outcome, StoreError> { Err(StoreError::Stopped) }
    pub async fn barrier(&self) -> Result<Revision, StoreError> { Err(StoreError::Stopped) }
    pub fn view(&self) -> View { loop {} }
    pub fn view_at(&self, revision: Revision) -> Result<View, StoreError> { Err(StoreError::Stopped) }
    pub fn watch(&self, scope: WatchScope, after: Revision) -> Result<Watch, WatchError> { Err(WatchError::Stopped) }
    pub fn status(&self) -> StoreStatus { loop {} }
    pub fn leadership(&self) -> watch::Receiver<Leadership> { loop {} }
    pub async fn allocate_member_id(&self) -> Result<MemberId, StoreError> { Err(StoreError::Stopped) }
    pub async fn add_learner(&self, id: MemberId, member: Member) -> Result<(), StoreError> { Err(StoreError::Stopped) }
    pub async fn promote(&self, id: MemberId) -> Result<(), StoreError> { Err(StoreError::Stopped) }
    pub async fn remove(&self, id: MemberId) -> Result<(), StoreError> { Err(StoreError::Stopped) }
    pub async fn replace(&self, old: MemberId, new: MemberId) -> Result<(), StoreError> { Err(StoreError::Stopped) }
    pub async fn update_member(&self, id: MemberId, member: Member) -> Result<(), StoreError> { Err(StoreError::Stopped) }
    pub async fn transfer_leadership(&self, to: Option<MemberId>) -> Result<(), StoreError> { Err(StoreError::Stopped) }
    pub async fn raise_feature_level(&self, level: u32) -> Result<u32, StoreError> { Err(StoreError::Stopped) }
    pub async fn backup(&self) -> Result<BoxStream<'static, std::io::Result<Bytes>>, StoreError> { Err(StoreError::Stopped) }
    pub fn receiver(&self) -> Arc<dyn Receive> { loop {} }
    pub async fn shutdown(&self) {}
}
