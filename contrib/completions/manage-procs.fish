# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_manage_procs_global_optspecs
    string join \n user system root= json v/verbose h/help V/version
end

function __fish_manage_procs_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_manage_procs_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_manage_procs_using_subcommand
    set -l cmd (__fish_manage_procs_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c manage-procs -n "__fish_manage_procs_needs_command" -l root -d 'Work on the system image in <dir>' -r -f -a "(__fish_complete_directories)"
complete -c manage-procs -n "__fish_manage_procs_needs_command" -l user -d 'The calling user\'s instances (default, unless root)'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -l system -d 'The machine\'s instances (default for root)'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -s V -l version -d 'Print version'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "add" -d 'Configure a new instance'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "remove" -d 'Stop an instance, delete its unit and its section'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "set" -d 'Change keys of an instance\'s section'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "edit" -d 'Edit the file of an instance, which is checked before it is saved'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "enable" -d 'Have instances started at boot'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "disable" -d 'Have instances not started at boot'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "start" -d 'Start instances'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "stop" -d 'Stop instances'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "restart" -d 'Stop and start instances'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "attach" -d 'Use a console'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "send" -d 'Type a line on a console, and print the answer'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "mode" -d 'Set what happens when the child ends'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "kill" -d 'Kill the child, which is restarted in mode on'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "list" -d 'Show what is configured'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "status" -d 'Show what runs, without opening consoles'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "top" -d 'Show what runs, and go on showing it'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "watch" -d 'Print what runs and each change of it, as lines of JSON for programs (--json)'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "why" -d 'Tell what happened to an instance, who did it, and what to try'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "events" -d 'Show who did what and what happened, of all instances'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "logs" -d 'Show the output of instances'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "metrics" -d 'Print numbers of all instances for Prometheus'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "upgrade" -d 'Replace running servers by the program installed now'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "doctor" -d 'Check the configuration, and say what to do about each problem'
complete -c manage-procs -n "__fish_manage_procs_needs_command" -f -a "write-procs-cf" -d 'Write a configuration for conserver'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand add" -s C -l chdir -d 'Run the command in <dir> (default: here)' -r -f -a "(__fish_complete_directories)"
complete -c manage-procs -n "__fish_manage_procs_using_subcommand add" -s P -l port -d 'The control endpoint, such as a TCP port' -r
complete -c manage-procs -n "__fish_manage_procs_using_subcommand add" -s U -l user -d 'Run as <user> (default: nobody)' -r
complete -c manage-procs -n "__fish_manage_procs_using_subcommand add" -s G -l group -d 'Run as <group>' -r
complete -c manage-procs -n "__fish_manage_procs_using_subcommand add" -s e -l environment -d 'Set a variable; may be repeated' -r
complete -c manage-procs -n "__fish_manage_procs_using_subcommand add" -s E -l env-file -d 'Set the variables in <file>' -r -F
complete -c manage-procs -n "__fish_manage_procs_using_subcommand add" -l options -d 'More options for procServ' -r
complete -c manage-procs -n "__fish_manage_procs_using_subcommand add" -l from -d 'Add each section of <file> as an instance' -r -F
complete -c manage-procs -n "__fish_manage_procs_using_subcommand add" -s f -l force -d 'Replace an instance of this name'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand add" -s A -l autostart -d 'Start it at once'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand add" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand add" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand add" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand remove" -s f -l force -d 'Do not ask, and go on when it can\'t be stopped'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand remove" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand remove" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand remove" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand set" -s f -l force -d 'Save what can\'t be started, too'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand set" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand set" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand set" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand edit" -s f -l force -d 'Save what can\'t be started, too'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand edit" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand edit" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand edit" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand enable" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand enable" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand enable" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand disable" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand disable" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand disable" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand start" -l all -d 'All instances'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand start" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand start" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand start" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand stop" -l all -d 'All instances'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand stop" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand stop" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand stop" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand restart" -l all -d 'All instances'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand restart" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand restart" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand restart" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand attach" -s k -l detach -d 'The key that leaves' -r
complete -c manage-procs -n "__fish_manage_procs_using_subcommand attach" -s w -l watch -d 'Only look: what is typed goes nowhere'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand attach" -s r -l reconnect -d 'When the server ends, wait for the next one'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand attach" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand attach" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand attach" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand send" -s w -l wait -d 'For how long (default: 1; with --until 10)' -r
complete -c manage-procs -n "__fish_manage_procs_using_subcommand send" -s u -l until -d 'Until this text comes' -r
complete -c manage-procs -n "__fish_manage_procs_using_subcommand send" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand send" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand send" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand mode" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand mode" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand mode" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand kill" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand kill" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand kill" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand list" -l all -d 'All instances, also those that don\'t run (always so)'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand list" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand list" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand list" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand status" -l sort -d 'Order: name, state, up, restarts' -r -f -a "name\t''
state\t''
up\t''
restarts\t''"
complete -c manage-procs -n "__fish_manage_procs_using_subcommand status" -l all -d 'All instances, also those that don\'t run (always so)'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand status" -l plain -d 'The words of procServ\'s helper, for scripts'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand status" -l failed -d 'Only those with which something is wrong'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand status" -s w -l wide -d 'Also PIDs, CPU time, memory and consoles'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand status" -l check -d 'Exit with status 3 if something is wrong'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand status" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand status" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand status" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand top" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand top" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand top" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand watch" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand watch" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand watch" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand why" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand why" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand why" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand events" -s S -l since -d 'Only what happened since <time>, such as -1h or yesterday' -r
complete -c manage-procs -n "__fish_manage_procs_using_subcommand events" -s U -l until -d 'Only what happened until <time>' -r
complete -c manage-procs -n "__fish_manage_procs_using_subcommand events" -s f -l follow -d 'Keep printing new events'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand events" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand events" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand events" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand logs" -s n -l lines -d 'The last lines (default: 100), or all' -r
complete -c manage-procs -n "__fish_manage_procs_using_subcommand logs" -s S -l since -d 'Only what was written since <time>, such as -1h' -r
complete -c manage-procs -n "__fish_manage_procs_using_subcommand logs" -s U -l until -d 'Only what was written until <time>' -r
complete -c manage-procs -n "__fish_manage_procs_using_subcommand logs" -s g -l grep -d 'Only lines that match, as journalctl has it' -r
complete -c manage-procs -n "__fish_manage_procs_using_subcommand logs" -l color -d 'Colour the names: auto, always, never' -r -f -a "auto\t''
always\t''
never\t''"
complete -c manage-procs -n "__fish_manage_procs_using_subcommand logs" -s f -l follow -d 'Keep printing new output'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand logs" -l no-time -d 'Lines without times'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand logs" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand logs" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand logs" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand metrics" -l textfile -d 'Into <file>, for node_exporter\'s textfile collector' -r -F
complete -c manage-procs -n "__fish_manage_procs_using_subcommand metrics" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand metrics" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand metrics" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand upgrade" -s t -l timeout -d 'How long to wait for each' -r
complete -c manage-procs -n "__fish_manage_procs_using_subcommand upgrade" -l keep-going -d 'Do not stop at the first that can\'t be upgraded'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand upgrade" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand upgrade" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand upgrade" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand doctor" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand doctor" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand doctor" -s h -l help -d 'Print help'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand write-procs-cf" -s f -l out -d 'File, or - for stdout' -r -F
complete -c manage-procs -n "__fish_manage_procs_using_subcommand write-procs-cf" -s H -l hosts -d 'Also the instances on the hosts in <file>' -r -F
complete -c manage-procs -n "__fish_manage_procs_using_subcommand write-procs-cf" -l ssh -d 'How to reach a host' -r
complete -c manage-procs -n "__fish_manage_procs_using_subcommand write-procs-cf" -s R -l reload -d 'Reload conserver'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand write-procs-cf" -l json -d 'Print JSON, for programs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand write-procs-cf" -s v -l verbose -d 'Print the commands it runs'
complete -c manage-procs -n "__fish_manage_procs_using_subcommand write-procs-cf" -s h -l help -d 'Print help'

function __fish_manage_procs_instances
    set -l words (commandline -opc) (commandline -ct)
    $words[1] complete -- $words[2..] 2>/dev/null
end

complete -c manage-procs -n "__fish_manage_procs_using_subcommand remove set edit enable disable start stop restart attach send mode kill list status top watch why events logs upgrade write-procs-cf" -f -a "(__fish_manage_procs_instances)"
