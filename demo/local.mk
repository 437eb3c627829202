EXTRA_DIST += demo/README.md demo/taxi-traces.csv demo/pipeline.sh
EXTRA_DIST += demo/across.sh demo/run.sh demo/three.sh demo/stage1.sh demo/stage2.sh demo/stage3.sh
