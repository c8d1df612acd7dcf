"""The parts of a training run; translate/train.py shows the run itself, on one page.

In the order of the page:

config            TrainConfig and its parts; what the parts ask of each other
recipe            settings that are not given, by the tables of recommended.py and the trial updates of trial_updates.py
plan              plan=true: what a run would take
run_folder        the folder of a run: paths, lock, errors in its log, models written in the background
parallel          device, precision and layout of batches; a model on its device, shared by processes
changes           which settings may change when a run continues, and what follows from that
manifest          the parts of a run in its manifest and in its log
parts             the model and the batches, made from the configuration
optimizer         AdamW, Muon, learning-rate schedules, running average of weights
state             TrainState, exactly what a checkpoint holds; states on disk
validation        loss and scores on the validation set
stopping          fraction of the run that is done, learning rate, bounds, signals, divergence; trials of a sweep
update_ways       ways to compute an update: step.py one operation at a time, compiled, as CUDA graphs, or both
fast_path         the choice of one of them, by trial
step              one update: gradients of all batches, clipping, optimizer step
tracking          Reporter: results of updates, means, log, and the loggers of loggers/, such as TensorBoard
final_evaluation  average of the last checkpoints, scores on the test set
back_translation  two runs, with translations by the first as training pairs of the second
"""
