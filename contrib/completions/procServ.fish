complete -c procServ -l autorestartcmd -d 'command to toggle auto restart flag (^ for ctrl)' -r -f
complete -c procServ -l coresize -d 'set maximum core size for child to <n>' -r -f
complete -c procServ -s c -l chdir -d 'change directory to <dir> before starting child' -r -f -a "(__fish_complete_directories)"
complete -c procServ -s e -l exec -d 'specify child executable (default: arg0 of <command>)' -r -F
complete -c procServ -l holdoff -d 'set holdoff time [sec] between child restarts' -r -f
complete -c procServ -s i -l ignore -d 'ignore all chars in <str> (^ for ctrl)' -r -f
complete -c procServ -s I -l info-file -d 'write instance information to this file' -r -F
complete -c procServ -s k -l killcmd -d 'command to kill (reboot) the child (^ for ctrl)' -r -f
complete -c procServ -l killsig -d 'signal to send to child when killing (number or name)' -r -f
complete -c procServ -s l -l logport -d 'allow log connections through telnet <endpoint>' -r -f
complete -c procServ -s L -l logfile -d 'write log to <file>, \'-\' logs to stdout' -r -F
complete -c procServ -l logstamp -d 'prefix log lines with timestamp [strftime format]' -r -f
complete -c procServ -s n -l name -d 'set child\'s name (default: arg0 of <command>)' -r -f
complete -c procServ -s p -l pidfile -d 'write PID file (for server PID)' -r -F
complete -c procServ -s P -l port -d 'allow control connections through telnet <endpoint>' -r -f
complete -c procServ -l timefmt -d 'set time format (strftime) to <str>' -r -f
complete -c procServ -s x -l logoutcmd -d 'command to logout client connection (^ for ctrl)' -r -f
complete -c procServ -s g -l grace-period -d 'time [sec] after SIGTERM before child gets SIGKILL' -r -f
complete -c procServ -l allow-from -d 'let in TCP clients from networks <nets> only' -r -f
complete -c procServ -l api -d 'let programs connect to Unix socket <endpoint> (JSON)' -r -f
complete -c procServ -l compat -d 'use the messages of procServ <version> (2.7)' -r -f
complete -c procServ -l crlf -d 'CR LF of telnet clients: join (to one CR) or keep' -r -f
complete -c procServ -l events -d 'append what happens to <file>, as JSON; or \'journal\'' -r -F
complete -c procServ -l events-rotate -d 'begin a new one at <n>[,<keep>] bytes (k, M, G)' -r -f
complete -c procServ -l child-pidfile -d 'child makes itself a daemon, with its PID in <f>' -r -F
complete -c procServ -l health -d 'exit with 0 if status <file> tells of a ready child' -r -F
complete -c procServ -l history -d 'give new clients the last <size> bytes (k, M)' -r -f
complete -c procServ -l holdoff-max -d 'up to <n> sec, double holdoff while child dies early' -r -f
complete -c procServ -l listen -d 'open a socket for the child (LISTEN_FDS); repeatable' -r -f
complete -c procServ -l overlap -d 'SIGUSR2: start new child, end old one after <ms>' -r -f
complete -c procServ -l reloadcmd -d 'command to do what SIGUSR2 does (^ for ctrl)' -r -f
complete -c procServ -l log-rotate -d 'begin a new log at <size>[,<keep>] bytes (k, M, G)' -r -f
complete -c procServ -l ready -d 'be ready when child says <text> (implies --notify)' -r -f
complete -c procServ -l syslog -d 'send the console to syslog, too' -r -f
complete -c procServ -l status-file -d 'keep <file> up to date with how things are, as JSON' -r -F
complete -c procServ -l term -d 'set TERM of the child' -r -f
complete -c procServ -l stop-input -d 'SIGTERM: type <text> to child first (^ for ctrl, \\r)' -r -f
complete -c procServ -l user -d 'run the child as this user (server started as root)' -r -f -a "(__fish_complete_users)"
complete -c procServ -l window -d 'window of the child: <cols>x<rows>, or follow' -r -f
complete -c procServ -l allow -d 'allow control connections from anywhere'
complete -c procServ -s d -l debug -d 'debug mode (keeps child in foreground)'
complete -c procServ -s f -l foreground -d 'keep child in foreground (interactive)'
complete -c procServ -s h -l help -d 'print this message'
complete -c procServ -l noautorestart -d 'do not restart child on exit by default'
complete -c procServ -s o -l oneshot -d 'exit when the child has exited'
complete -c procServ -s q -l quiet -d 'suppress informational output (server)'
complete -c procServ -l restrict -d 'restrict log access to connections from localhost'
complete -c procServ -s V -l version -d 'print program version'
complete -c procServ -s w -l wait -d 'wait for cmd on control connection to start child'
complete -c procServ -l announce -d 'tell everybody who attaches and who leaves'
complete -c procServ -l console -d 'with -f -L -, use the terminal (docker run -it)'
complete -c procServ -l record-input -d 'record what is typed in the file of --events'
complete -c procServ -l fdstore -d 'survive a crash with systemd\'s help (with -f)'
complete -c procServ -l kill-orphans -d 'kill what left the child\'s process group, too'
complete -c procServ -l notify -d 'tell systemd about state and health (with -f)'
complete -c procServ -l log-plain -d 'log without escape sequences and without CR before LF'
complete -c procServ -l savelog -d 'rename an existing log file at start'
complete -c procServ -l signal-status -d 'exit with 128+N if signal N killed the last child'
