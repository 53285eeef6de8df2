"""What slurm 22.05 printed on a cluster with GPU nodes and, for accounts, what one with slurmdbd prints."""

PARTITIONS = """\
PartitionName=normal AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=YES QoS=N/A \
MaxNodes=UNLIMITED MaxTime=UNLIMITED Nodes=vm State=UP TotalCPUs=4 TotalNodes=1 MaxMemPerNode=UNLIMITED
PartitionName=gpu AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=NO QoS=N/A \
MaxNodes=2 MaxTime=2-00:00:00 Nodes=gpu[01-04] State=UP TotalCPUs=224 TotalNodes=4 MaxMemPerNode=400000
PartitionName=closed AllowGroups=ALL AllowAccounts=physics,chem AllowQos=long AllocNodes=ALL Default=NO QoS=N/A \
MaxNodes=UNLIMITED MaxTime=00:30:00 Nodes=gpu[01-04] State=DOWN TotalCPUs=224 TotalNodes=4 MaxMemPerNode=UNLIMITED
"""

SINFO = """\
normal|1 x 4 CPUs, 24105 MB, GPUs (null), features (null), idle
gpu|2 x 64 CPUs, 512000 MB, GPUs gpu:a100:4(S:0-1), features ib,avx512, mixed
gpu|1 x 64 CPUs, 512000 MB, GPUs gpu:a100:4, features ib, down*
gpu|1 x 32 CPUs, 256000 MB, GPUs gpu:v100:2,lustre:1, features (null), idle
closed|3 x 64 CPUs, 512000 MB, GPUs gpu:a100:4, features ib, down*
"""

CONFIGURATION = """\
Configuration data as of 2026-11-22T21:41:00
AccountingStorageEnforce = none
AccountingStorageType   = accounting_storage/none
ClusterName             = vlkd
MaxArraySize            = 1001
SLURM_VERSION           = 22.05.8
"""

ACCOUNTS = "physics||normal,+long\nastro|gpu|short\n"

TAKEN = "sbatch: Job 3 to start at 2026-11-22T21:40:40 using 1 processors on nodes vm in partition normal"
ACCOUNT = "sbatch: error: x\nallocation failure: Invalid account or account/partition combination specified"
QOS = "allocation failure: Invalid qos specification"
NO_PARTITION = "allocation failure: No partition specified or system default partition"
