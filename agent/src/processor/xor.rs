//! The reference processor: each output byte is the input byte XOR the kernel's, the kernel repeated over the file.

use std::sync::OnceLock;

use async_trait::async_trait;
use dayfly_shared::bucket::JobBucket;
use dayfly_xor::Kernel;

use super::{Failure, Processor, TaskIo};

/// XOR with a kernel that lies beside the job's other objects.
pub struct Xor {
    kernel_name: String,
    kernel: OnceLock<Kernel>,
}

impl Xor {
    /// With the kernel of that name.
    pub fn new(kernel_name: String) -> Self {
        Self { kernel_name, kernel: OnceLock::new() }
    }
}

#[async_trait]
impl Processor for Xor {
    async fn prepare(&self, job: &JobBucket) -> Result<(), Failure> {
        let key = job.keys.kernel(&self.kernel_name);
        let Some((_, kernel)) = job.read(&key).await? else {
            return Err(Failure::Refused(format!(
                "the kernel {} does not exist; put it there (dayfly seed --kernel FILE), or name another in job.json",
                job.place(&key)
            )));
        };
        let Some(kernel) = Kernel::new(&kernel) else {
            return Err(Failure::Refused(format!(
                "the kernel {} is empty; it needs at least one byte (put another there: dayfly seed --kernel FILE)",
                job.place(&key)
            )));
        };
        let _ = self.kernel.set(kernel);
        Ok(())
    }

    async fn process(&self, task: &mut TaskIo) -> Result<(), Failure> {
        let Some(kernel) = self.kernel.get() else {
            return Err(Failure::Refused("the xor processor was not made ready".to_owned()));
        };
        task.transform(&|data: &[u8], out: &mut [u8], offset| kernel.apply_into(data, out, offset)).await
    }
}
