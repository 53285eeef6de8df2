"""What slurm 22.05 printed on a cluster with GPU nodes (defined, not owned), and the same as a healthy one would."""

PARTITIONS = """\
PartitionName=normal AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=YES QoS=N/A \
MaxNodes=UNLIMITED MaxTime=UNLIMITED Nodes=vm State=UP TotalCPUs=4 TotalNodes=1 MaxMemPerNode=UNLIMITED
PartitionName=gpu AllowGroups=ALL AllowAccounts=ALL AllowQos=ALL AllocNodes=ALL Default=NO QoS=N/A \
MaxNodes=2 MaxTime=2-00:00:00 Nodes=gpu[01-04] State=UP TotalCPUs=224 TotalNodes=4 MaxMemPerNode=400000
PartitionName=closed AllowGroups=ALL AllowAccounts=physics,chem AllowQos=long AllocNodes=ALL Default=NO QoS=N/A \
MaxNodes=UNLIMITED MaxTime=00:30:00 Nodes=gpu[01-04] State=DOWN TotalCPUs=224 TotalNodes=4 MaxMemPerNode=UNLIMITED
"""

SINFO = """\
normal|1|idle|4|24105|(null)|(null)|vm
gpu|2|mixed|64|512000|gpu:a100:4(S:0-1)|ib,avx512|gpu[01-02]
gpu|1|down*|64|512000|gpu:a100:4|ib|gpu03
gpu|1|idle|32|256000|gpu:v100:2,lustre:1|(null)|gpu04
closed|3|down*|64|512000|gpu:a100:4|ib|gpu[01-03]
closed|1|unknown*|32|256000|gpu:v100:2,lustre:1|(null)|gpu04
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
