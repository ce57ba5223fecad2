/* The IOC that EPICS base calls softIoc, as far as a start script needs it. */
#include <dbAccess.h>
#include <dbStaticLib.h>
#include <epicsExit.h>
#include <iocsh.h>
#include <iocshRegisterCommon.h>

int main(int argc, char **argv)
{
    iocshRegisterCommon();
    if (dbLoadDatabase("base.dbd", DBD, NULL)) return 2;
    if (registerAllRecordDeviceDrivers(pdbbase)) return 3;
    if (argc > 1 && iocsh(argv[1])) epicsExit(4);
    iocsh(NULL);
    epicsExit(0);
}
