# SPDX-License-Identifier: GPL-2.0
#
# fish completion for apple-dma.

set -l commands status top doctor report
set -l none "not __fish_seen_subcommand_from $commands"
set -l complete complete -c apple-dma

$complete -f
$complete -s h -l help -d 'Show the options'
$complete -n $none -l version -d 'Show the version'
$complete -n $none -a status -d 'A table of the devices'
$complete -n $none -a top -d 'What the devices do now'
$complete -n $none -a doctor -d 'What is wrong, and what to do'
$complete -n $none -a report -d 'Record, and write a page with plots'

$complete -n '__fish_seen_subcommand_from status doctor' -l json -d 'For programs'
$complete -n '__fish_seen_subcommand_from status' -l prometheus -d 'For Prometheus'
$complete -n '__fish_seen_subcommand_from status' -l interval -xa '0 0.5 1 2 5' \
	-d 'Seconds between the two samples'
$complete -n '__fish_seen_subcommand_from top' -l once -d 'One picture, without a terminal'
$complete -n '__fish_seen_subcommand_from top' -l batch -xa '1 5 10' -d 'That many pictures'
$complete -n '__fish_seen_subcommand_from top' -l interval -xa '0.5 1 2 5' \
	-d 'Seconds between two pictures'
$complete -n '__fish_seen_subcommand_from doctor' -l verbose \
	-d 'Show the checks that passed, too'
$complete -n '__fish_seen_subcommand_from report' -l seconds -xa '10 30 60 300' \
	-d 'How long to record'
$complete -n '__fish_seen_subcommand_from report' -s o -l output -rF -d 'The file'
